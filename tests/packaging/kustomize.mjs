// A kustomization rendered by the part of kustomize that deploy/k8s uses. Debian has no kustomize, and a check that needs
// the network is no check. Anything beyond this part is refused, never ignored; where kubectl is installed, a test compares
// the two.
import {createHash} from 'node:crypto';
import {existsSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';

// Lists that strategic merge treats as maps, by the field that tells their elements apart.
const MERGE_KEYS = {
  containers: 'name', initContainers: 'name', volumes: 'name', env: 'name', volumeMounts: 'mountPath', ports: 'containerPort',
};

export function refuse(where, problem) {
  throw new Error(`${where}: ${problem}`);
}

function onlyFields(where, object, allowed) {
  for (const field of Object.keys(object)) {
    if (!allowed.includes(field)) refuse(where, `field "${field}" is beyond what this renderer knows (${allowed.join(', ')})`);
  }
}

const isMap = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

function mergeList(where, field, target, patch) {
  if (!patch.some(isMap)) return patch;  // A list of scalars is replaced.
  const key = MERGE_KEYS[field];
  if (!key) refuse(where, `list "${field}" has no merge key here`);
  const merged = target.map((item) => {
    const change = patch.find((other) => other[key] === item[key]);
    return change ? strategicMerge(`${where}[${item[key]}]`, item, change) : item;
  });
  const added = patch.filter((other) => !target.some((item) => item[key] === other[key]));
  return [...added, ...merged];  // kustomize puts new elements first.
}

export function strategicMerge(where, target, patch) {
  const result = {...target};
  for (const [field, value] of Object.entries(patch)) {
    const at = `${where}.${field}`;
    if (field.startsWith('$') || value === null) refuse(at, 'deleting by a patch is beyond this renderer');
    if (Array.isArray(value)) {
      result[field] = mergeList(at, field, target[field] ?? [], value);
    } else if (isMap(value)) {
      result[field] = strategicMerge(at, target[field] ?? {}, value);
    } else {
      result[field] = value;
    }
  }
  return result;
}

// The suffix that kustomize gives a generated ConfigMap: ten digits of a hash, without those that could make words. The
// hash is of the data only; kustomize leaves the name in it empty.
export function configMapHash(data) {
  const sorted = Object.fromEntries(Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1)));
  const json = JSON.stringify({data: sorted, kind: 'ConfigMap', name: ''})
      .replace(/[<>&\u2028\u2029]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
  const digits = {0: 'g', 1: 'h', 3: 'k', a: 'm', e: 't'};
  return createHash('sha256').update(json).digest('hex').slice(0, 10).replace(/[013ae]/g, (c) => digits[c]);
}

export function podSpec(resource) {
  return resource.kind === 'Pod' ? resource.spec : resource.spec?.template?.spec;
}

function renameConfigMap(resource, from, to) {
  const spec = podSpec(resource);
  if (!spec) return;
  for (const volume of spec.volumes ?? []) {
    if (volume.configMap?.name === from) volume.configMap.name = to;
  }
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    for (const source of container.envFrom ?? []) {
      if (source.configMapRef?.name === from) source.configMapRef.name = to;
    }
    for (const variable of container.env ?? []) {
      const ref = variable.valueFrom?.configMapKeyRef;
      if (ref?.name === from) ref.name = to;
    }
  }
}

function generateConfigMap(where, folder, generator) {
  onlyFields(where, generator, ['name', 'files']);
  const data = {};
  for (const entry of generator.files) {
    const [key, file] = entry.includes('=') ? entry.split('=') : [entry, entry];
    data[key] = readFileSync(join(folder, file), 'utf8');
  }
  return {
    apiVersion: 'v1', kind: 'ConfigMap', data, metadata: {name: generator.name},
    generatedAs: `${generator.name}-${configMapHash(data)}`,
  };
}

function addLabels(where, resources, rule) {
  onlyFields(where, rule, ['pairs', 'includeTemplates']);
  const label = (holder) => {
    holder.metadata = {...holder.metadata, labels: {...holder.metadata?.labels, ...rule.pairs}};
  };
  for (const resource of resources) {
    label(resource);
    if (rule.includeTemplates && resource.spec?.template) label(resource.spec.template);
    if (rule.includeTemplates) (resource.spec?.volumeClaimTemplates ?? []).forEach(label);
  }
}

function applyPatch(yaml, where, folder, resources, patch) {
  onlyFields(where, patch, ['path', 'target']);
  onlyFields(`${where}.target`, patch.target, ['kind']);
  const change = yaml.load(readFileSync(join(folder, patch.path), 'utf8'));
  const {metadata, ...rest} = change;
  let matched = 0;
  resources.forEach((resource, i) => {
    if (resource.kind !== patch.target.kind) return;
    resources[i] = strategicMerge(`${where}(${patch.path})`, resource, rest);
    ++matched;
  });
  if (matched === 0) refuse(where, `patch ${patch.path} matches no ${patch.target.kind}`);
}

function accumulate(yaml, folder, resources) {
  const where = join(folder, 'kustomization.yaml');
  const kustomization = yaml.load(readFileSync(where, 'utf8'));
  onlyFields(where, kustomization, ['apiVersion', 'kind', 'resources', 'components', 'configMapGenerator', 'patches', 'labels']);
  if (!['Kustomization', 'Component'].includes(kustomization.kind)) refuse(where, `unknown kind "${kustomization.kind}"`);
  // A component works on what is there already; a kustomization only on what is its own.
  const own = kustomization.kind === 'Component' ? resources : [];
  for (const entry of kustomization.resources ?? []) {
    const path = join(folder, entry);
    if (!existsSync(path)) refuse(where, `resource ${entry} does not exist`);
    if (statSync(path).isDirectory()) {
      accumulate(yaml, path, own);
    } else {
      own.push(...yaml.loadAll(readFileSync(path, 'utf8')).filter(Boolean));
    }
  }
  for (const entry of kustomization.components ?? []) accumulate(yaml, join(folder, entry), own);
  for (const generator of kustomization.configMapGenerator ?? []) own.push(generateConfigMap(where, folder, generator));
  for (const patch of kustomization.patches ?? []) applyPatch(yaml, where, folder, own, patch);
  for (const rule of kustomization.labels ?? []) addLabels(where, own, rule);
  if (own !== resources) resources.push(...own);
}

// The resources of the kustomization in `folder`, as objects.
export function render(yaml, folder) {
  const resources = [];
  accumulate(yaml, folder, resources);
  for (const map of resources.filter((resource) => resource.generatedAs)) {
    resources.forEach((resource) => renameConfigMap(resource, map.metadata.name, map.generatedAs));
    map.metadata.name = map.generatedAs;
    delete map.generatedAs;
  }
  const names = resources.map((resource) => `${resource.kind}/${resource.metadata?.name}`);
  names.forEach((name, i) => names.indexOf(name) !== i && refuse(folder, `${name} comes twice`));
  return resources;
}
