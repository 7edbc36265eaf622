// Requests to the server of this page.

async function answered(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Error("The demo does not answer. Is it still running in the terminal?");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

export const get = (path) => answered(fetch(path));
export const post = (path, options = {}) => answered(fetch(path, { method: "POST", ...options }));

/** A sound as a blob: a player cannot go to and fro in what the server sends whole. */
export const sound = async (path) => (await fetch(path)).blob();
