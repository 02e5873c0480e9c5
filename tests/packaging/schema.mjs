// Checks resources against the schemas of Kubernetes, twice: by value (types, required fields) and by the TypeScript
// compiler (fields that do not exist).
import {execFileSync} from 'node:child_process';
import {writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join} from 'node:path';

// `modules` is the folder that install.sh filled.
export function loadModules(modules) {
  const require = createRequire(join(modules, 'package.json'));
  try {
    return {require, yaml: require('js-yaml'), tsc: require.resolve('typescript/bin/tsc')};
  } catch (error) {
    throw new Error(`what the checks need is not installed: run tests/packaging/install.sh ${modules}\n${error.message}`);
  }
}

const modelPath = ({apiVersion}) => `kubernetes-models/${apiVersion}`;

function valueProblems(require, resource) {
  let model;
  try {
    model = require(modelPath(resource))[resource.kind];
  } catch {
    model = undefined;
  }
  if (!model) return [`apiVersion ${resource.apiVersion} has no kind ${resource.kind}`];
  try {
    new model(structuredClone(resource)).validate();
    return [];
  } catch (error) {
    return [error.message];
  }
}

// All problems of `resources` as text; `scratch` is a file name without its suffix, in the folder of the modules.
export function schemaProblems({require, tsc}, resources, scratch) {
  const problems = resources.flatMap((resource) =>
    valueProblems(require, resource).map((text) => `${resource.kind}/${resource.metadata?.name}: ${text}`));
  if (problems.length > 0) return problems;

  const lines = resources.flatMap((resource, i) => [
    `import type {I${resource.kind} as T${i}} from '${modelPath(resource)}';`,
    `export const resource${i}: T${i} = ${JSON.stringify(resource, null, 2)};`,
  ]);
  writeFileSync(`${scratch}.ts`, lines.join('\n') + '\n');
  try {
    execFileSync(process.execPath, [tsc, '--noEmit', '--strict', '--skipLibCheck', '--module', 'node16', '--moduleResolution', 'node16', `${scratch}.ts`],
                 {encoding: 'utf8', stdio: 'pipe'});
    return [];
  } catch (error) {
    return [`${error.stdout}${error.stderr}`.trim()];
  }
}
