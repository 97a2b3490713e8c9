// What npm's `openwhisk` client does, step by step: each prints a line of JSON, [step, answer].
//
//     node client.cjs URL KEY
const openwhisk = require("openwhisk");

const [apihost, api_key] = process.argv.slice(2);
const client = openwhisk({ apihost, api_key });
const CODE = "def main(args):\n    print('one line')\n    return {'got': args}\n";
const WEB = "def main(args):\n    return {'body': {'name': args.get('name')}, 'statusCode': 201}\n";
const FAILS = "def main(args):\n    return {'error': 'as it says'}\n";

async function step(name, work) {
  let told;
  try {
    told = await work();
  } catch (error) {
    told = { failed: error.name, status: error.statusCode, message: error.message, error: error.error };
  }
  console.log(JSON.stringify([name, told === undefined ? null : told]));
  return told;
}

async function actions() {
  const { actions } = client;
  await step("create", () => actions.create({ name: "one", action: CODE, kind: "python:3", params: { a: 1 } }));
  await step("create again", () => actions.create({ name: "one", action: CODE, kind: "python:3" }));
  await step("update", () =>
    actions.update({ name: "one", action: CODE, kind: "python:3", annotations: { note: "n" }, limits: { timeout: 5000 } }));
  await step("get", () => actions.get("one"));
  await step("get without code", () => actions.get({ name: "one", code: false }));
  await step("list", () => actions.list({ limit: 5 }));
  await step("count", () => actions.list({ count: true }));
  await step("result", () => actions.invoke({ name: "one", blocking: true, result: true, params: { b: 2 } }));
  await step("blocking", () => actions.invoke({ name: "one", blocking: true, params: { b: 3 } }));
  await step("missing", () => actions.invoke({ name: "nothere", blocking: true }));
  await step("create failing", () => actions.create({ name: "fails", action: FAILS, kind: "python:3" }));
  await step("failing", () => actions.invoke({ name: "fails", blocking: true, result: true }));
  await step("bytes", () =>
    actions.create({ name: "zip", action: Buffer.from(process.env.ZIP, "base64"), kind: "python:3" }));
  await step("zip", () => actions.invoke({ name: "zip", blocking: true, result: true, params: { z: 1 } }));
}

async function activations() {
  const { actions, activations } = client;
  const { activationId } = await step("not blocking", () => actions.invoke({ name: "one", params: { c: 1 } }));
  for (let left = 100; left; left--) {
    const found = await activations.list({ name: "one", limit: 5, docs: true });
    if (found.some((each) => each.activationId === activationId)) break;
    await new Promise((done) => setTimeout(done, 50));
  }
  await step("activation", () => activations.get(activationId));
  await step("logs", () => activations.logs({ name: activationId }));
  await step("activation result", () => activations.result({ name: activationId }));
  await step("no activation", () => activations.get("0".repeat(32)));
}

async function linked() {
  const { packages, actions, triggers, rules } = client;
  await step("package", () => packages.create({ name: "tools", package: { parameters: [{ key: "p", value: "q" }] } }));
  await step("in it", () => actions.create({ name: "tools/two", action: CODE, kind: "python:3" }));
  await step("from it", () => actions.invoke({ name: "tools/two", blocking: true, result: true }));
  await step("packages", () => packages.list());
  await step("full package", () => packages.delete("tools"));
  await step("sequence", () => actions.create({ name: "both", sequence: ["/_/one", "/_/tools/two"] }));
  await step("in a row", () => actions.invoke({ name: "both", blocking: true, result: true, params: { s: 1 } }));
  await step("trigger", () => triggers.create({ name: "often", trigger: { parameters: [{ key: "t", value: 1 }] } }));
  await step("rule", () => rules.create({ name: "then", action: "one", trigger: "often" }));
  await step("fired", () => triggers.invoke({ name: "often", params: { f: 1 } }));
  await step("disable", () => rules.disable({ name: "then" }));
  await step("rule now", () => rules.get("then"));
  await step("fired for nothing", () => triggers.invoke({ name: "often" }));
  await step("enable", () => rules.enable({ name: "then" }));
  await step("rules", () => rules.list());
  await step("triggers", () => triggers.list());
  await step("namespaces", () => client.namespaces.list());
  await step("routes", () => client.routes.list());
  await step("web", () =>
    actions.create({ name: "web", action: WEB, kind: "python:3", annotations: { "web-export": true } }));
}

async function removed() {
  const { actions, packages, rules, triggers } = client;
  for (const name of ["both", "tools/two", "one"]) {
    await step(`delete ${name}`, () => actions.delete(name));
  }
  await step("delete package", () => packages.delete("tools"));
  await step("delete rule", () => rules.delete("then"));
  await step("delete trigger", () => triggers.delete("often"));
  await step("gone", () => actions.get("one"));
  const stranger = openwhisk({ apihost, api_key: "a:b" });
  await step("stranger", () => stranger.actions.list());
}

actions().then(activations).then(linked).then(removed);
