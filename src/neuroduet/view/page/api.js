/** Requests to the server that served this page; every one carries its token. */

const token = document.querySelector('meta[name="token"]').content;
const traffic = { pending: 0 };

/** @returns {number} Requests without an answer yet. */
export const pendingRequests = () => traffic.pending;

/** Whether an error only says that nobody waits for the answer any more. */
export const isAbort = (error) => error.name === "AbortError";

/** Whether an error only says that the answer is still being worked out. */
export const isLater = (error) => error.later === true;

/**
 * Ask for JSON.
 * @param {string} path Such as "/api/session".
 * @param {Object<string, string|number>} query Parameters of the address.
 * @param {AbortSignal} [signal] Ends the request.
 * @returns {Promise<any>} The answer; fails with the server's own sentence.
 */
export const getJson = (path, query = {}, signal = undefined) =>
  request(path, query, { signal }, (response) => response.json());

/** Ask for bytes; see getJson. */
export const getBytes = (path, query, signal) =>
  request(path, query, { signal }, (response) => response.arrayBuffer());

/** Change something on the server; see getJson. */
export const post = (path, query, body = {}) =>
  request(
    path,
    query,
    { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } },
    (response) => response.json(),
  );

async function request(path, query, options, read) {
  const address = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  traffic.pending += 1;
  try {
    const response = await answer(address, options);
    const later = response.status === 202;
    if (later || !response.ok) throw Object.assign(new Error(await sentence(response)), { later });
    return await read(response);
  } finally {
    traffic.pending -= 1;
  }
}

async function answer(address, options) {
  try {
    return await fetch(address, { ...options, headers: { ...options.headers, "X-Token": token } });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Error("the server does not answer; is `neuroduet view` still running?");
  }
}

async function sentence(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `the server answered ${response.status}`;
  }
}
