// Answers every message with its own text. Needs Node and the `chancery` command, no packages:
//   node echo.mjs --home BOT --key-file BOT.key [--link INVITATION]
// The first time, an invitation enrols the bot. An event is acknowledged after it was answered: if the bot is
// killed in between, the event comes again, with the same number, and is answered once more.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const words = process.argv.slice(2);
const at = words.indexOf("--link");
const link = at < 0 ? undefined : words.splice(at, 2)[1];
const server = spawn(process.env.CHANCERY ?? "chancery", ["rpc", ...words], { stdio: ["pipe", "pipe", "inherit"] });
const waiting = new Map();
let last = 0;

function call(method, params = {}) {
  const id = ++last;
  server.stdin.write(JSON.stringify({ jsonrpc: "2.0", id, method, params }) + "\n");
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

async function act({ number, event }) {
  if (event.event === "message" && event.state === "received" && event.text) {
    if (event.group) await call("groups.send", { group: event.group.id, text: event.text });
    else await call("send", { to: event.from, text: event.text });
  }
  await call("events.ack", { number });
}

// One after the other: what is acknowledged takes with it all that came before.
let turn = Promise.resolve();
createInterface({ input: server.stdout }).on("line", (line) => {
  const { id, method, params, result, error } = JSON.parse(line);
  if (method === "event") {
    turn = turn.then(() => act(params)).catch((why) => { console.error(why.message); process.exit(1); });
    return;
  }
  if (method) return; // news, such as who is writing: nothing to acknowledge
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  error ? reject(new Error(error.message)) : resolve(result);
});
server.on("exit", (code) => process.exit(code ?? 1));

const [{ state }] = (await call("accounts.list")).accounts;
if (state === "not-enrolled") await call("accounts.enrol", { link, timeoutMs: 60_000 });
console.log(`echo: I am ${(await call("me")).handle}`);
