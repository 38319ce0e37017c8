# neuroduet on a CPU:
#   docker build -t neuroduet .
#   docker run --rm -v "$PWD:/work" neuroduet train --data data --out runs/first
# Files that it writes belong to the user of the host with `--user "$(id -u):$(id -g)"`.

FROM python:3.12-slim AS build
# Torch's own index of builds without CUDA makes the image some GB smaller:
#   docker build --build-arg TORCH_INDEX_URL=URL -t neuroduet .
ARG TORCH_INDEX_URL=
ENV PIP_EXTRA_INDEX_URL=$TORCH_INDEX_URL \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/neuroduet
ENV PATH="/opt/neuroduet/bin:$PATH"
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install -c constraints.txt '.[nwb,hub]'

FROM python:3.12-slim
RUN useradd --create-home --uid 1000 neuroduet && mkdir /work && chown neuroduet /work
COPY --from=build /opt/neuroduet /opt/neuroduet
# Caches must be writable also for a user that --user names.
ENV PATH="/opt/neuroduet/bin:$PATH" \
    MPLBACKEND=Agg \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER neuroduet
WORKDIR /work
ENTRYPOINT ["neuroduet"]
CMD ["--help"]
