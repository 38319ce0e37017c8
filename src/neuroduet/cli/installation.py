"""The commands about the program itself: ``demo``, ``doctor`` and ``completion``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from neuroduet.console import print_findings, print_scores, working, write, write_json
from neuroduet.options import AsJson

Shell = Literal["bash", "zsh", "fish"]

# Bash breaks words at "=": they are put together for us, and our answers cut where it broke them.
BASH = """\
_neuroduet_completion() {
    local IFS=$'\\n' word whole="" words=()
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ $word == "=" || $whole == *= ]]; then
            whole+=$word
            words[${#words[@]}-1]=$whole
        else
            whole=$word
            words+=("$word")
        fi
    done
    COMPREPLY=( $( env COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]}-1)) \\
                   _NEURODUET_COMPLETE=complete_bash "$1" ) )
    if [[ ${COMPREPLY[0]-} == *= ]]; then
        compopt -o nospace
    elif [[ $whole == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=( "${COMPREPLY[@]#*=}" )
    fi
}

complete -o default -F _neuroduet_completion neuroduet
"""

# Of --option=value only the value is answered; a setting goes on after its "=", without a space.
ZSH = """\
#compdef neuroduet

_neuroduet_completion() {
    local quote='"' answer="$(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" \\
                              _NEURODUET_COMPLETE=complete_zsh neuroduet)"
    if [[ $PREFIX == --*=* ]]; then
        IPREFIX+=${PREFIX%%=*}=
        PREFIX=${PREFIX#*=}
    fi
    if [[ $answer == *=$quote* ]]; then
        compadd -S '' -- ${(M)${(ps:$quote:)answer}:#*=}
    else
        eval $answer
    fi
}

compdef _neuroduet_completion neuroduet
"""

FISH = """\
function _neuroduet_completion
    set -l option (string match -r -- '^--[^=]+=' (commandline -ct))
    env _TYPER_COMPLETE_ARGS=(commandline -cp) _TYPER_COMPLETE_FISH_ACTION=$argv[1] \\
        _NEURODUET_COMPLETE=complete_fish neuroduet | string replace -r -- '^' "$option"
    return $pipestatus[1]
end

complete --command neuroduet --no-files --arguments "(_neuroduet_completion get-args)" \\
    --condition "_neuroduet_completion is-args"
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")] = Path(
        "demo"
    ),
    as_json: AsJson = False,
) -> None:
    """Simulate, train, finetune and compare, in a few minutes."""
    from neuroduet.demo import demo as run_demo

    with working("simulating") as report:
        found = run_demo(out=out, report=report)
    scores = found.run / "scores.csv"
    if as_json:
        write_json(
            {"run": found.run, "report": found.report, "file": scores, "scores": found.scores}
        )
        return
    print_scores(found.scores, models=found.models)
    write(f"all scores are in {scores}, the figures in {found.report}")


def doctor(as_json: AsJson = False) -> None:
    """Check this installation and train a small model for a moment."""
    from neuroduet.doctor import examine

    with working("training a small model"):
        findings = examine()
    if as_json:
        write_json(findings)
    else:
        print_findings(findings)
    if any(finding.remedy for finding in findings):
        raise typer.Exit(1)


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    as_json: AsJson = False,
) -> None:
    """Print the script with which a shell completes words of ours."""
    if as_json:
        write_json({"shell": shell, "script": SCRIPTS[shell]})
    else:
        write(SCRIPTS[shell])
