// Usage: node check_manifests.mjs MODULES KUSTOMIZATION... [--kubectl KUBECTL]
//
// Renders each kustomization and checks the result against the schemas of Kubernetes and our own rules. With --kubectl,
// instead, compares the result with what kubectl makes of it.
import assert from 'node:assert';
import {execFileSync} from 'node:child_process';
import {basename, join} from 'node:path';

import {render} from './kustomize.mjs';
import {problemsOf} from './manifest_rules.mjs';
import {loadModules, schemaProblems} from './schema.mjs';

const args = process.argv.slice(2);
const flag = args.indexOf('--kubectl');
const kubectl = flag < 0 ? undefined : args.splice(flag, 2)[1];
const [modules, ...folders] = args;
if (folders.length === 0) throw new Error('usage: check_manifests.mjs MODULES KUSTOMIZATION... [--kubectl KUBECTL]');

const loaded = loadModules(modules);
const byName = (resources) => Object.fromEntries(resources.map((resource) => [`${resource.kind}/${resource.metadata.name}`, resource]));
let failed = false;
for (const folder of folders) {
  const resources = render(loaded.yaml, folder);
  if (kubectl) {
    const theirs = loaded.yaml.loadAll(execFileSync(kubectl, ['kustomize', folder], {encoding: 'utf8'}));
    assert.deepStrictEqual(byName(resources), byName(theirs), `${folder} is rendered otherwise by kubectl`);
    console.log(`${folder}: ${resources.length} resources, the same as kubectl's`);
    continue;
  }
  const problems = [
    ...schemaProblems(loaded, resources, join(modules, `manifests-${basename(folder)}`)),
    ...problemsOf(loaded.yaml, resources),
  ];
  problems.forEach((problem) => console.error(`${folder}: ${problem}`));
  failed ||= problems.length > 0;
  console.log(`${folder}: ${resources.length} resources, ${problems.length} problems`);
}
process.exit(failed ? 1 : 0);
