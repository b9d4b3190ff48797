"""The files that start the walkthrough, checked without starting it: Kubernetes manifests, the collector's
configuration, compose files. What one file says of another is compared, so that they cannot drift apart.

    python3 -m venv venv && venv/bin/pip install -r docker-demo-ebpf/tests/requirements.txt
    COMPOSE_V2="docker compose" COMPOSE_V1=docker-compose venv/bin/python -m pytest docker-demo-ebpf/tests

Of the two variables, one that is unset skips its tests; one that names no command fails them.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
CORE = REPO / "docker"
DEMO = REPO / "docker-demo-ebpf"
COLLECTOR_CONFIG = CORE / "otelcol-configs" / "config.yaml"
MANIFEST_FILES = sorted((DEMO / "k8s").glob("*.yaml"))

# The oldest with every field used (appArmorProfile), and the newest that the validator knows.
KUBERNETES_VERSIONS = ["1.30", kubernetes_validate.latest_version()]

# A directory's compose files, by variant.
STACKS = {
    "core": (CORE, ["docker-compose.yml"]),
    "core, direct": (CORE, ["docker-compose.yml", "docker-compose.direct.yml"]),
    "demo": (DEMO, ["docker-compose.yml"]),
    "demo, least privilege": (DEMO, ["docker-compose.yml", "docker-compose.least-privilege.yml"]),
}


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that occurs twice, where PyYAML would take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key occurs twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def read_all(path):
    return [document for document in yaml.load_all(path.read_text(), StrictLoader) if document is not None]


def read(path):
    (document,) = read_all(path)
    return document


MANIFESTS = [(path.name, document) for path in MANIFEST_FILES for document in read_all(path)]
RESOURCES = [document for _, document in MANIFESTS]
WORKLOADS = [document for document in RESOURCES if document["kind"] in ("Deployment", "DaemonSet")]


def title(resource):
    return f"{resource['kind']}/{resource['metadata']['name']}"


def resource(kind, name):
    (found,) = [each for each in RESOURCES if title(each) == f"{kind}/{name}"]
    return found


def pod(workload):
    return workload["spec"]["template"]["spec"]


def container(workload):
    (only,) = pod(workload)["containers"]
    return only


def environment(workload):
    return {entry["name"]: entry["value"] for entry in container(workload).get("env", [])}


def service_ports(name):
    return {entry["port"] for entry in resource("Service", name)["spec"]["ports"]}


def compose_service(name):
    for directory in (CORE, DEMO):
        services = read(directory / "docker-compose.yml")["services"]
        if name in services:
            return services[name]
    raise AssertionError(f"no compose file has the service {name}")


def compose_environment(name):
    return compose_service(name).get("environment", {})


AGENT = resource("DaemonSet", "otel-ebpf-agent")
ORDINARY = [workload for workload in WORKLOADS if workload is not AGENT]


# --- Kubernetes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("file, manifest", MANIFESTS, ids=[f"{f}: {title(m)}" for f, m in MANIFESTS])
def test_manifest_fits_the_schema(file, manifest, version):
    # The validator falls back to an older schema when it lacks one; that would be a test of something else.
    used = kubernetes_validate.validate(manifest, version, strict=True)
    assert used == kubernetes_validate.utils.major_minor(version)


def test_the_walkthroughs_parts_are_all_there():
    assert {title(each) for each in RESOURCES} == {
        "Namespace/tinyolly-demo",
        "PersistentVolumeClaim/tinyolly-data",
        "Deployment/tinyolly",
        "Service/tinyolly",
        "ConfigMap/otel-collector",
        "Deployment/otel-collector",
        "Service/otel-collector",
        "Deployment/ebpf-frontend",
        "Service/ebpf-frontend",
        "Deployment/ebpf-backend",
        "Service/ebpf-backend",
        "ConfigMap/otel-ebpf-agent",
        "DaemonSet/otel-ebpf-agent",
    }
    assert {each["metadata"].get("namespace") for each in RESOURCES if each["kind"] != "Namespace"} == {"tinyolly-demo"}


@pytest.mark.parametrize("workload", WORKLOADS, ids=title)
def test_names_inside_a_workload_lead_somewhere(workload):
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()

    volumes = {volume["name"]: volume for volume in pod(workload).get("volumes", [])}
    mounts = container(workload).get("volumeMounts", [])
    assert {mount["name"] for mount in mounts} == set(volumes)
    for volume in volumes.values():
        if "configMap" in volume:
            keys = resource("ConfigMap", volume["configMap"]["name"])["data"]
            wanted = [mount["subPath"] for mount in mounts if mount["name"] == volume["name"] and "subPath" in mount]
            assert set(wanted) <= set(keys)
        if "persistentVolumeClaim" in volume:
            assert resource("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])

    ports = {port["name"] for port in container(workload).get("ports", [])}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        wanted = container(workload).get(probe, {}).get("tcpSocket", {}).get("port")
        assert wanted is None or wanted in ports, probe


@pytest.mark.parametrize("service", [each for each in RESOURCES if each["kind"] == "Service"], ids=title)
def test_a_service_reaches_a_pod(service):
    workload = resource("Deployment", service["metadata"]["name"])
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    listening = {port["name"]: port["containerPort"] for port in container(workload)["ports"]}
    for port in service["spec"]["ports"]:
        assert listening[port["targetPort"]] == port["port"], "the same number inside and outside, as under Docker"


def told_addresses():
    """Every `host:port` that a part is told, with who is told it."""
    for workload in WORKLOADS:
        for name, value in environment(workload).items():
            if "://" in value:
                url = urlsplit(value)
                yield f"{workload['metadata']['name']}: {name}", url.hostname, url.port
    for name, settings in read(COLLECTOR_CONFIG)["exporters"].items():
        host, port = settings["endpoint"].rsplit(":", 1)
        yield f"otel-collector: {name}", host, int(port)


ADDRESSES = list(told_addresses())


@pytest.mark.parametrize("who, host, port", ADDRESSES, ids=[who for who, _, _ in ADDRESSES])
def test_an_address_is_a_service(who, host, port):
    assert port in service_ports(host)


def test_what_is_told_includes_the_three_links_of_the_demo():
    assert {(who.split(":")[0], host) for who, host, _ in ADDRESSES} == {
        ("ebpf-frontend", "ebpf-backend"),
        ("ebpf-frontend", "otel-collector"),
        ("otel-ebpf-agent", "otel-collector"),
        ("otel-collector", "tinyolly"),
    }


def test_the_traced_port_is_the_services():
    traced = {int(environment(AGENT)["OTEL_EBPF_OPEN_PORT"])}
    assert service_ports("ebpf-frontend") == service_ports("ebpf-backend") == traced


def test_tinyolly_listens_where_it_is_asked():
    assert service_ports("tinyolly") == {5005, 4317, 4318}


@pytest.mark.parametrize("workload", ORDINARY, ids=title)
def test_all_but_the_agent_keep_to_the_restricted_level(workload):
    spec, only = pod(workload), container(workload)
    assert not {"hostPID", "hostNetwork", "hostIPC"} & set(spec)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] != 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("workload", WORKLOADS, ids=title)
def test_a_pod_asks_for_and_is_held_to_resources(workload):
    resources = container(workload)["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]
    assert pod(workload)["automountServiceAccountToken"] is False
    # Otherwise services become variables such as TINYOLLY_PORT.
    assert pod(workload)["enableServiceLinks"] is False


@pytest.mark.parametrize("workload", WORKLOADS, ids=title)
def test_probes_ask_the_program_itself(workload):
    only = container(workload)
    probes = {name: only[name] for name in ("startupProbe", "readinessProbe", "livenessProbe") if name in only}
    assert "readinessProbe" in probes
    for probe in probes.values():
        if only["name"] == "otel-collector":
            assert "tcpSocket" in probe
        else:
            assert probe["exec"]["command"] == [f"/usr/bin/{only['name']}", "health"]


def test_the_agent_has_root_the_nodes_processes_and_no_more():
    assert pod(AGENT)["hostPID"] is True
    assert not {"hostNetwork", "hostIPC"} & set(pod(AGENT))
    assert pod(AGENT)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context = dict(container(AGENT)["securityContext"])
    context.pop("capabilities")
    assert context == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "appArmorProfile": {"type": "Unconfined"},
    }
    assert all("hostPath" not in volume for volume in pod(AGENT)["volumes"])


def test_the_namespace_admits_the_agent():
    labels = resource("Namespace", "tinyolly-demo")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


def test_the_agents_health_file_is_in_memory():
    directory = os.path.dirname(environment(AGENT)["OTEL_EBPF_HEALTH_FILE"])
    (mount,) = [each for each in container(AGENT)["volumeMounts"] if each["mountPath"] == directory]
    (volume,) = [each for each in pod(AGENT)["volumes"] if each["name"] == mount["name"]]
    assert volume["emptyDir"]["medium"] == "Memory"


# --- Kubernetes and compose say the same --------------------------------------------------------------------------


def test_capabilities_are_those_of_the_least_privilege_variant():
    docker = read(DEMO / "docker-compose.least-privilege.yml")["services"]["otel-ebpf-agent"]
    kubernetes = container(AGENT)["securityContext"]["capabilities"]
    assert docker["cap_drop"] == kubernetes["drop"] == ["ALL"]
    assert kubernetes["add"], "none would be a different agent"
    assert sorted(docker["cap_add"]) == sorted(kubernetes["add"])


@pytest.mark.parametrize("file", ["docker-compose.least-privilege.yml", "k8s/40-otel-ebpf-agent.yaml"])
def test_every_capability_has_its_reason(file):
    path = DEMO / file
    lines = path.read_text().splitlines()
    given = [number for number, line in enumerate(lines) if re.fullmatch(r"\s+- [A-Z_]+", line)]
    assert len(given) == len(container(AGENT)["securityContext"]["capabilities"]["add"])
    for number in given:
        assert lines[number - 1].lstrip().startswith("# "), f"{path.name}:{number + 1} gives no reason"


@pytest.mark.parametrize("name", ["tinyolly", "ebpf-frontend", "ebpf-backend"])
def test_environment_is_that_of_compose(name):
    assert environment(resource("Deployment", name)) == compose_environment(name)


def test_environment_of_the_agent_is_that_of_compose():
    kubernetes = environment(AGENT)
    # Compose leaves this one to the image.
    health_file = kubernetes.pop("OTEL_EBPF_HEALTH_FILE")
    docker = dict(compose_environment("otel-ebpf-agent"))
    docker.pop("OTEL_EBPF_HEALTH_FILE", None)
    assert kubernetes == docker
    assert re.search(rf"\bOTEL_EBPF_HEALTH_FILE={re.escape(health_file)}$", (CORE / "Dockerfile").read_text(), re.M)


@pytest.mark.parametrize("workload", WORKLOADS, ids=title)
def test_the_image_is_that_of_compose(workload):
    only = container(workload)
    assert only["image"] == compose_service(workload["metadata"]["name"])["image"]
    assert only["imagePullPolicy"] == "IfNotPresent"


def test_the_collectors_image_is_pinned_to_a_version():
    image = container(resource("Deployment", "otel-collector"))["image"]
    assert re.fullmatch(r"otel/opentelemetry-collector:\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", image)


def test_the_image_has_the_user_of_the_pods():
    dockerfile = (CORE / "Dockerfile").read_text()
    users = set(re.findall(r"^USER (\S+)$", dockerfile, re.M))
    for name in ("tinyolly", "ebpf-frontend", "ebpf-backend"):
        context = pod(resource("Deployment", name))["securityContext"]
        assert users == {f"{context['runAsUser']}:{context['runAsGroup']}"}


@pytest.mark.parametrize("name, key, file", [
    ("otel-collector", "config.yaml", COLLECTOR_CONFIG),
    ("otel-ebpf-agent", "agent.yaml", DEMO / "agent.yaml"),
])
def test_a_config_map_is_the_file(name, key, file):
    assert resource("ConfigMap", name)["data"] == {key: file.read_text()}


def test_the_readme_of_the_manifests_names_every_image():
    readme = (DEMO / "k8s" / "README.md").read_text()
    for workload in WORKLOADS:
        assert container(workload)["image"] in readme


# --- the collector's configuration --------------------------------------------------------------------------------


def test_every_component_is_defined_and_used():
    config = read(COLLECTOR_CONFIG)
    pipelines = config["service"]["pipelines"]
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in pipelines.values() for name in pipeline.get(kind, [])}
        assert used == set(config.get(kind, {})), kind
    assert set(config.get("extensions", {})) == set(config["service"].get("extensions", []))


def test_every_signal_passes_the_memory_limiter_first():
    pipelines = read(COLLECTOR_CONFIG)["service"]["pipelines"]
    assert set(pipelines) == {"traces", "metrics", "logs"}
    for signal, pipeline in pipelines.items():
        assert pipeline["processors"][0] == "memory_limiter", signal


def mebibytes(text):
    number, unit = re.fullmatch(r"(\d+)(m|Mi)", text).groups()
    return int(number)


def test_the_memory_limiter_is_below_the_containers_limit():
    limit = read(COLLECTOR_CONFIG)["processors"]["memory_limiter"]["limit_mib"]
    kubernetes = container(resource("Deployment", "otel-collector"))["resources"]["limits"]["memory"]
    docker = compose_service("otel-collector")["mem_limit"]
    assert limit < 0.8 * mebibytes(kubernetes)
    assert limit < 0.8 * mebibytes(docker)


def test_batches_are_made_and_wait_for_tinyolly():
    ((_, exporter),) = read(COLLECTOR_CONFIG)["exporters"].items()
    assert exporter["retry_on_failure"]["enabled"] is True
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s", "a batch that is given up is lost"
    queue = exporter["sending_queue"]
    assert queue["enabled"] is True
    assert 0 < queue["batch"]["min_size"] <= queue["batch"]["max_size"] < queue["queue_size"]


def test_the_receiver_listens_where_the_service_leads():
    protocols = read(COLLECTOR_CONFIG)["receivers"]["otlp"]["protocols"]
    endpoints = {name: settings["endpoint"] for name, settings in protocols.items()}
    assert endpoints == {"grpc": "0.0.0.0:4317", "http": "0.0.0.0:4318"}
    assert service_ports("otel-collector") == {4317, 4318}


# --- compose ------------------------------------------------------------------------------------------------------


def compose(variable, stack, *arguments):
    """Runs the compose command that `variable` names on a stack, as its scripts do: in its directory."""
    command = shlex.split(os.environ.get(variable, ""))
    if not command:
        pytest.skip(f"{variable} is not set: no compose files were checked with it")
    assert shutil.which(command[0]), f"{variable}: there is no command {command[0]}"
    directory, files = STACKS[stack]
    options = [option for file in files for option in ("-f", file)]
    run = subprocess.run([*command, *options, *arguments], cwd=directory, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, f"{shlex.join(command)} {shlex.join(arguments)}: {run.stderr.strip()}"
    return run


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("variable", ["COMPOSE_V2", "COMPOSE_V1"])
def test_compose_accepts_the_files(variable, stack):
    run = compose(variable, stack, "config", "-q")
    assert run.stdout == ""
    # Both versions warn here of what they ignore or will no longer accept.
    assert run.stderr == ""


def resolved(stack):
    return json.loads(compose("COMPOSE_V2", stack, "config", "--format", "json").stdout)


@pytest.mark.parametrize("stack", STACKS)
def test_ports_are_published_on_loopback_alone(stack):
    ports = [port for service in resolved(stack)["services"].values() for port in service.get("ports", [])]
    assert ports, "a stack that publishes nothing cannot be looked at"
    assert {port.get("host_ip") for port in ports} == {"127.0.0.1"}


@pytest.mark.parametrize("stack, expected", [
    ("core", {"otel-collector": {4317: 4317, 4318: 4318}, "tinyolly": {5005: 5005}}),
    ("demo", {"ebpf-frontend": {5001: 5000}, "ebpf-backend": {5004: 5000}, "otel-ebpf-agent": {}}),
])
def test_the_ports_are_the_documented_ones(stack, expected):
    published = {
        name: {int(port["published"]): port["target"] for port in service.get("ports", [])}
        for name, service in resolved(stack)["services"].items()
    }
    assert published == expected


def test_direct_mode_answers_under_the_collectors_name():
    tinyolly = resolved("core, direct")["services"]["tinyolly"]
    published = {int(port["published"]): port["target"] for port in tinyolly["ports"]}
    assert published == {5005: 5005, 4317: 4317, 4318: 4318}
    assert "otel-collector" in tinyolly["networks"]["tinyolly-network"]["aliases"]


def test_the_demo_joins_the_network_of_the_core():
    core = resolved("core")["networks"]["tinyolly-network"]
    demo = resolved("demo")["networks"]["tinyolly-network"]
    assert core["name"] == demo["name"] == "tinyolly-network"
    assert demo["external"] is True and not core.get("external")


@pytest.mark.parametrize("stack", STACKS)
def test_only_the_agent_is_privileged_or_sees_the_hosts_processes(stack):
    services = resolved(stack)["services"]
    demo = "otel-ebpf-agent" in services
    privileged = {name for name, service in services.items() if service.get("privileged")}
    sees_all = {name for name, service in services.items() if service.get("pid")}
    assert privileged == ({"otel-ebpf-agent"} if stack == "demo" else set())
    assert sees_all == ({"otel-ebpf-agent"} if demo else set())
    for name, service in services.items():
        assert service.get("network_mode") != "host" and not service.get("ipc"), name
        sources = [volume.get("source", "") for volume in service.get("volumes", [])]
        assert not [source for source in sources if "docker.sock" in source], f"{name} is given the engine"
        if name != "otel-ebpf-agent":
            assert service["cap_drop"] == ["ALL"] and not service.get("cap_add"), name
            assert "no-new-privileges:true" in service["security_opt"], name


def test_the_least_privilege_variant_drops_all_but_the_list():
    agent = resolved("demo, least privilege")["services"]["otel-ebpf-agent"]
    assert not agent.get("privileged")
    assert agent["pid"] == "host"
    assert agent["cap_drop"] == ["ALL"]
    assert sorted(agent["cap_add"]) == sorted(container(AGENT)["securityContext"]["capabilities"]["add"])
    assert "no-new-privileges:true" in agent["security_opt"]


@pytest.mark.parametrize("name, service, wanted", [
    ("core", "tinyolly", "tinyolly"),
    ("core", "otel-collector", "otel-collector"),
    ("demo", "ebpf-frontend", "ebpf-frontend"),
    ("demo", "ebpf-backend", "ebpf-backend"),
    ("demo", "otel-ebpf-agent", "otel-ebpf-instrumentation"),
])
def test_containers_have_the_walkthroughs_names(name, service, wanted):
    assert resolved(name)["services"][service]["container_name"] == wanted
