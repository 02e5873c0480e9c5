// The checks themselves: each mistake here must be found. CAIRN_NPM_FOLDER is the folder that install.sh filled.
import assert from 'node:assert';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';

import {configMapHash, podSpec, render, strategicMerge} from './kustomize.mjs';
import {bytes, milliseconds, problemsOf} from './manifest_rules.mjs';
import {loadModules, schemaProblems} from './schema.mjs';

const modules = process.env.CAIRN_NPM_FOLDER;
const loaded = loadModules(modules);
const deploy = join(dirname(fileURLToPath(import.meta.url)), '../../deploy/k8s');

function withFiles(files, body) {
  const folder = mkdtempSync(join(tmpdir(), 'cairn-test-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), {recursive: true});
      writeFileSync(join(folder, path), text);
    }
    return body(folder);
  } finally {
    rmSync(folder, {recursive: true});
  }
}

const refuses = (files, pattern) => withFiles(files, (folder) => assert.throws(() => render(loaded.yaml, folder), pattern));
const map = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n';

test('the renderer refuses what it does not know, instead of ignoring it', () => {
  refuses({'kustomization.yaml': 'kind: Kustomization\nnamePrefix: x-\n'}, /namePrefix/);
  refuses({'kustomization.yaml': 'kind: Kustomization\nresources: [gone.yaml]\n'}, /gone\.yaml does not exist/);
  refuses({'kustomization.yaml': 'kind: Kustomization\nconfigMapGenerator: [{name: x, literals: [a=b]}]\n'}, /literals/);
  refuses({'kustomization.yaml': 'kind: Kustomization\npatches: [{path: p.yaml, target: {kind: Job}}]\n', 'p.yaml': 'spec: {}'}, /matches no Job/);
  refuses({'kustomization.yaml': 'kind: Kustomization\nresources: [a.yaml, b.yaml]\n', 'a.yaml': map, 'b.yaml': map}, /comes twice/);
});

test('a patch merges lists of named things and refuses to guess for others', () => {
  const pod = {containers: [{name: 'a', args: ['1', '2'], env: [{name: 'X', value: '1'}]}]};
  const merged = strategicMerge('pod', pod, {containers: [{name: 'b'}, {name: 'a', args: ['3'], env: [{name: 'Y', value: '2'}]}]});
  assert.deepStrictEqual(merged.containers, [{name: 'b'}, {name: 'a', args: ['3'], env: [{name: 'Y', value: '2'}, {name: 'X', value: '1'}]}]);
  assert.throws(() => strategicMerge('pod', {}, {hostAliases: [{ip: '1.2.3.4'}]}), /no merge key/);
  assert.throws(() => strategicMerge('pod', pod, {containers: null}), /beyond this renderer/);
});

test('generated names are those of kustomize', () => {
  assert.strictEqual(configMapHash({a: 'b'}), '4h2mbtbbt6');
});

test('units of cairnd and of Kubernetes are read', () => {
  assert.strictEqual(milliseconds('1m30s'), 90_000);
  assert.strictEqual(milliseconds('250ms'), 250);
  assert.strictEqual(bytes('512MiB'), bytes('512Mi'));
  assert.ok(Number.isNaN(bytes('512MB')));
});

// Each: which kustomization, how to break it, and what must be said.
const schemaMistakes = [
  ['single', 'StatefulSet', (r) => { r.spec.replicass = 1; }, /replicass/],
  ['single', 'StatefulSet', (r) => { r.spec.replicas = '1'; }, /replicas/],
  ['single', 'StatefulSet', (r) => { delete r.spec.selector; }, /selector/],
  ['single', 'StatefulSet', (r) => { podSpec(r).containers[0].livenessProbe.grpc.prt = 1; }, /prt/],
  ['single', 'StatefulSet', (r) => { r.apiVersion = 'apps/v9'; }, /has no kind StatefulSet/],
  ['example-job', 'Job', (r) => { podSpec(r).initContainers[0].volumeMount = []; }, /volumeMount/],
];
for (const [folder, kind, spoil, expected] of schemaMistakes) {
  test(`the schemas find ${spoil}`, () => {
    const resources = render(loaded.yaml, join(deploy, folder));
    spoil(resources.find((resource) => resource.kind === kind));
    assert.match(schemaProblems(loaded, resources, join(modules, 'spoiled')).join('\n'), expected);
  });
}

const config = (resources, change) => {
  const data = resources.find((resource) => resource.kind === 'ConfigMap').data;
  const [key] = Object.keys(data);
  data[key] = change(data[key]);
};
const pod = (resources) => podSpec(resources.find(podSpec));
const daemon = (resources) => pod(resources).containers[0];
const ruleMistakes = [
  [(all) => { daemon(all).image = 'cairnd'; }, /no fixed tag/],
  [(all) => { daemon(all).image = 'cairnd:latest'; }, /no fixed tag/],
  [(all) => { pod(all).securityContext.runAsUser = 0; }, /may run as root/],
  [(all) => { delete daemon(all).securityContext.readOnlyRootFilesystem; }, /writable/],
  [(all) => { daemon(all).securityContext.capabilities.add = ['NET_ADMIN']; }, /capabilities/],
  [(all) => { delete pod(all).securityContext.seccompProfile; }, /seccomp/],
  [(all) => { delete daemon(all).resources.limits; daemon(all).resources.limits = {}; }, /memory limit/],
  [(all) => { daemon(all).readinessProbe.grpc.port = 7711; }, /asks port 7711/],
  [(all) => { daemon(all).volumeMounts.push({name: 'gone', mountPath: '/x'}); }, /no volume gone/],
  [(all) => { pod(all).volumes[0].configMap.name = 'gone'; }, /no ConfigMap gone/],
  [(all) => { pod(all).terminationGracePeriodSeconds = 45; }, /grace period/],
  [(all) => { config(all, (text) => text.replace('512MiB', '1GiB')); }, /leaves too little/],
  [(all) => { config(all, (text) => text.replace('/var/lib/cairn/data', '/srv/data')); }, /no writable volume/],
  [(all) => { config(all, (text) => text.replace('7710', '7711')); }, /listens on 7711/],
  [(all) => { all.find(({kind}) => kind === 'Service').spec.ports[0].targetPort = 'http'; }, /target port http/],
  [(all) => { all.find(({kind}) => kind === 'PodDisruptionBudget').spec.selector.matchLabels = {a: 'b'}; }, /selects no pod/],
];
for (const [spoil, expected] of ruleMistakes) {
  test(`the rules find ${spoil}`, () => {
    const resources = render(loaded.yaml, join(deploy, 'single'));
    spoil(resources);
    assert.match(problemsOf(loaded.yaml, resources).join('\n'), expected);
  });
}
