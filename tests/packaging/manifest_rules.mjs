// What must hold for our manifests beyond their schema. Each rule returns the problems it finds, as text.
import {podSpec} from './kustomize.mjs';

const nameOf = (resource) => `${resource.kind}/${resource.metadata.name}`;
const workloads = (resources) => resources.filter(podSpec);
const allContainers = (spec) => [...(spec.initContainers ?? []), ...spec.containers];
const includes = (labels, selector) => Object.entries(selector ?? {}).every(([key, value]) => labels?.[key] === value);

export function milliseconds(text) {
  const units = {ms: 1, s: 1000, m: 60_000, h: 3_600_000};
  return [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce((sum, [, number, unit]) => sum + Number(number) * units[unit], 0);
}

export function bytes(text) {
  const units = {Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30};
  const [, number, unit] = /^(\d+)([A-Za-z]*)$/.exec(text) ?? [];
  return Number(number) * (unit ? units[unit] ?? NaN : 1);
}

function podSecurity(resources) {
  const problems = [];
  for (const workload of workloads(resources)) {
    const pod = podSpec(workload);
    const must = (holds, text) => holds || problems.push(`${nameOf(workload)}: ${text}`);
    must(pod.securityContext?.seccompProfile?.type === 'RuntimeDefault', 'no seccomp profile RuntimeDefault');
    must(pod.automountServiceAccountToken === false, 'mounts a service account token');
    must(pod.enableServiceLinks === false, 'service links put CAIRND_ variables into the environment');
    for (const container of allContainers(pod)) {
      const context = {...pod.securityContext, ...container.securityContext};
      const each = (holds, text) => must(holds, `container ${container.name}: ${text}`);
      each(context.runAsNonRoot === true && context.runAsUser > 0, 'may run as root');
      each(context.readOnlyRootFilesystem === true, 'root file system is writable');
      each(context.allowPrivilegeEscalation === false, 'may gain privileges');
      each(context.capabilities?.drop?.includes('ALL') && !context.capabilities.add, 'keeps capabilities');
      each(container.resources?.requests?.cpu && container.resources?.requests?.memory, 'requests no cpu or memory');
      each(container.resources?.limits?.memory, 'has no memory limit');
      each(/:[^:/]+$/.test(container.image) && !container.image.endsWith(':latest'), `image ${container.image} has no fixed tag`);
    }
  }
  return problems;
}

function references(resources) {
  const problems = [];
  const has = (kind, name) => resources.some((other) => other.kind === kind && other.metadata.name === name);
  for (const workload of workloads(resources)) {
    const pod = podSpec(workload);
    const must = (holds, text) => holds || problems.push(`${nameOf(workload)}: ${text}`);
    const volumes = [...(pod.volumes ?? []), ...(workload.spec.volumeClaimTemplates ?? []).map((claim) => claim.metadata)];
    for (const volume of pod.volumes ?? []) {
      if (volume.configMap) must(has('ConfigMap', volume.configMap.name), `no ConfigMap ${volume.configMap.name}`);
      const claim = volume.persistentVolumeClaim?.claimName;
      if (claim) must(has('PersistentVolumeClaim', claim), `no PersistentVolumeClaim ${claim}`);
    }
    for (const container of allContainers(pod)) {
      for (const mount of container.volumeMounts ?? []) {
        must(volumes.some((volume) => volume.name === mount.name), `container ${container.name}: no volume ${mount.name}`);
      }
      for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
        const port = container[probe]?.grpc?.port;
        const known = (container.ports ?? []).map((other) => other.containerPort);
        must(!port || known.includes(port), `container ${container.name}: ${probe} asks port ${port}, which is not opened`);
      }
    }
    if (workload.spec.serviceName) must(has('Service', workload.spec.serviceName), `no Service ${workload.spec.serviceName}`);
    if (pod.serviceAccountName) must(has('ServiceAccount', pod.serviceAccountName), `no ServiceAccount ${pod.serviceAccountName}`);
    if (workload.spec.selector) {
      must(includes(workload.spec.template.metadata?.labels, workload.spec.selector.matchLabels), 'does not select its own pods');
    }
  }
  return problems;
}

function selectors(resources) {
  const problems = [];
  for (const resource of resources) {
    const selector = {
      Service: resource.spec?.selector,
      NetworkPolicy: resource.spec?.podSelector?.matchLabels,
      PodDisruptionBudget: resource.spec?.selector?.matchLabels,
    }[resource.kind];
    if (!selector) continue;
    const chosen = workloads(resources).filter((workload) => includes(workload.spec.template?.metadata?.labels, selector));
    if (chosen.length === 0) problems.push(`${nameOf(resource)}: selects no pod`);
    for (const port of resource.kind === 'Service' ? resource.spec.ports : []) {
      const opened = chosen.flatMap((workload) => allContainers(podSpec(workload))).flatMap((container) => container.ports ?? []);
      if (!opened.some((other) => other.name === port.targetPort || other.containerPort === port.targetPort)) {
        problems.push(`${nameOf(resource)}: target port ${port.targetPort} is not opened by its pods`);
      }
    }
  }
  return problems;
}

// The options of cairnd against what its pod allows.
function daemonFitsItsPod(yaml, resources) {
  const problems = [];
  for (const workload of workloads(resources)) {
    const pod = podSpec(workload);
    for (const container of allContainers(pod).filter(({args}) => args?.includes('--config'))) {
      const must = (holds, text) => holds || problems.push(`${nameOf(workload)}: container ${container.name}: ${text}`);
      const path = container.args[container.args.indexOf('--config') + 1];
      const mount = container.volumeMounts.find(({mountPath}) => path.startsWith(`${mountPath}/`));
      const volume = pod.volumes.find(({name}) => name === mount?.name);
      const map = resources.find(({kind, metadata}) => kind === 'ConfigMap' && metadata.name === volume?.configMap?.name);
      const text = map?.data[path.slice(mount.mountPath.length + 1)];
      if (text === undefined) {
        must(false, `no ConfigMap has ${path}`);
        continue;
      }
      const options = yaml.load(text);
      const writable = (file) => container.volumeMounts.some((other) => !other.readOnly && file.startsWith(`${other.mountPath}/`));
      const grace = pod.terminationGracePeriodSeconds ?? 30;
      must(milliseconds(options.drain_timeout) < grace * 1000, `drain_timeout ${options.drain_timeout} is not below the grace period of ${grace}s`);
      must(bytes(options.memory_budget) * 1.5 <= bytes(container.resources.limits.memory), `memory_budget ${options.memory_budget} leaves too little of the limit ${container.resources.limits.memory}`);
      must(writable(options.data_dir), `data_dir ${options.data_dir} is on no writable volume`);
      must(!options.unix_socket || writable(options.unix_socket), `unix_socket ${options.unix_socket} is on no writable volume`);
      for (const address of options.listen ?? []) {
        const port = Number(address.split(':').pop());
        must((container.ports ?? []).some((other) => other.containerPort === port), `listens on ${port}, which is not opened`);
      }
    }
  }
  return problems;
}

export function problemsOf(yaml, resources) {
  return [...podSecurity(resources), ...references(resources), ...selectors(resources), ...daemonFitsItsPod(yaml, resources)];
}
