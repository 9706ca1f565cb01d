// Drives the official SDK: one JSON call per line on stdin, one JSON answer per line on stdout.
// Call: {method, body}. Answer: {values, headers}, and {error} where the SDK threw; values are what had come before.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../e2e/node/package.json", import.meta.url));
const { OpenAI } = require("openai");

const [baseURL, apiKey] = process.argv.slice(2);
let headers = {};
const client = new OpenAI({
  baseURL,
  apiKey,
  maxRetries: 0,
  fetch: async (url, init) => {
    const response = await fetch(url, init);
    headers = Object.fromEntries(response.headers);
    return response;
  },
});

async function perform({ method, body }) {
  const values = [];
  headers = {};
  try {
    const path = method.split(".");
    const name = path.pop();
    const endpoint = path.reduce((at, part) => at[part], client);
    const answer = name === "list" ? await endpoint[name]() : await endpoint[name](body);
    if (body.stream || name === "list") for await (const value of answer) values.push(value);
    else values.push(answer);
    return { values, headers };
  } catch (thrown) {
    const { status = null, type = null, code = null, param = null, message } = thrown;
    return { values, headers, error: { name: thrown.constructor.name, status, type, code, param, message } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await perform(JSON.parse(line))) + "\n");
}
