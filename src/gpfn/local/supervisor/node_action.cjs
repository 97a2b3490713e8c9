// The process of a Node.js action under OpenWhisk's contract: /init once, then /run.
//
//     node node_action.cjs PORT
//
// It does with one file of JavaScript what the platform's own runtime does
// (apache/openwhisk-runtime-nodejs, platform.js and runner.js). `require` finds what is built
// in, and what NODE_PATH names.
const http = require("node:http");
const { createRequire } = require("node:module");

const END = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n";
const NO_RESULT = "The action did not return a dictionary or array.";
const NO_ARCHIVE = "gpfn dev runs an action of Node.js that is one file, and this one is an archive.";

let main;

function wrong(error, status = 502) {
  return { status, document: { error } };
}

function serialized(error) {
  if (!(error instanceof Error)) return error;
  return { ...error, name: error.name, message: error.message, stack: error.stack };
}

function compile(code, name) {
  if (!/^[\w$]+(\.[\w$]+)*$/.test(name)) throw new Error(`no name of a function: ${name}`);
  const module = { exports: {} };
  const end = `\n;return typeof ${name.split(".")[0]} === "undefined" ? module.exports.${name} : ${name};`;
  const load = new Function("require", "module", "exports", code + end);
  const found = load(createRequire(`${process.cwd()}/`), module, module.exports);
  if (typeof found !== "function") throw new Error(`there is no function ${name}`);
  return found;
}

function init({ value }) {
  if (main) return wrong("Cannot initialize the action more than once.", 403);
  if (!value || !value.code) return wrong("Missing main/no code to execute.", 403);
  if (value.binary) return wrong(NO_ARCHIVE);
  Object.assign(process.env, value.env);
  try {
    main = compile(value.code, value.main || "main");
  } catch (error) {
    console.error(error);
    return wrong(`Initialization has failed due to: ${error.stack || error}`);
  }
  return { status: 200, document: { OK: true } };
}

async function run({ value, ...context }) {
  if (!main) return wrong("System not ready, status is idle.", 403);
  for (const [key, text] of Object.entries(context)) {
    process.env[`__OW_${key.toUpperCase()}`] = text;
  }
  let result;
  try {
    result = main(value);
  } catch (error) {
    console.error(error);
    return wrong(`An error has occurred: ${error}`);
  }
  try {
    result = await result;
  } catch (error) {
    result = { error: error ? serialized(error) : {} };
  }
  if (result === undefined) result = {};
  if (typeof result !== "object" || result === null) return wrong(NO_RESULT);
  return { status: 200, document: result };
}

async function answer(path, text) {
  let asked;
  try {
    asked = JSON.parse(text);
  } catch (error) {
    return wrong(`Error parsing JSON: ${error.message}`, 400);
  }
  if (path === "/init") return init(asked);
  return path === "/run" ? run(asked) : wrong("there is /init, and /run", 404);
}

// What JSON cannot say (a circle, a BigInt) ends the call and not the process.
function encoded({ status, document }) {
  try {
    return { status, body: Buffer.from(JSON.stringify(document)) };
  } catch (error) {
    console.error(error);
    return { status: 500, body: Buffer.from(JSON.stringify({ error: "Internal error." })) };
  }
}

function send(path, response, told) {
  const { status, body } = encoded(told);
  if (path === "/run" || status === 502) {
    process.stdout.write(END);
    process.stderr.write(END);
  }
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": body.length });
  response.end(body);
}

http
  .createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      answer(request.url, Buffer.concat(parts).toString()).then((told) => send(request.url, response, told));
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
