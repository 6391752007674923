"""The files that the server, Compose, Prometheus and Grafana read."""

import json
import pathlib
import re
from typing import Any

import pytest

SERVING = pathlib.Path(__file__).resolve().parents[2] / "serving"

# Names of TensorFlow Serving 2.20's metrics: /tensorflow/serving/request_count in its sources,
# with ":" for whatever a Prometheus name may not hold; _bucket, _sum, _count for histograms.
COUNTERS = {
    ":tensorflow:serving:request_count": {"model_name", "status"},
    ":tensorflow:serving:batching_session:wrapped_run_count": set(),
    ":tensorflow:cc:saved_model:load_attempt_count": {"model_path", "status"},
    ":tensorflow:cc:saved_model:load_latency": {"model_path"},
}
HISTOGRAMS = {
    ":tensorflow:serving:request_latency": {"model_name", "API", "entrypoint"},
    ":tensorflow:serving:runtime_latency": {"model_name", "API", "runtime"},
    ":tensorflow:serving:batching_session:queuing_latency": {"thread_pool_name"},
}
METRICS = {
    **COUNTERS,
    **{
        name + ending: labels | ({"le"} if ending == "_bucket" else set())
        for name, labels in HISTOGRAMS.items()
        for ending in ("_bucket", "_sum", "_count")
    },
}


def text_message(name: str, fields: dict[str, Any]) -> Any:
    """A message of the server's sources that tensorflow-serving-api does not ship.

    Args:
        name: Its name.
        fields: Name → (number, kind, repeated); a kind is "bool", "int64", "string" or a message.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

    kind_of = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", syntax="proto3", package=name)
    file.dependency.append("google/protobuf/wrappers.proto")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    for message, parts in fields.items():
        made = file.message_type.add(name=message)
        for field, (number, kind, repeated) in parts.items():
            one = made.field.add(name=field, number=number)
            one.label = kind_of.LABEL_REPEATED if repeated else kind_of.LABEL_OPTIONAL
            if kind in ("bool", "int64", "string"):
                one.type = kind_of.Type.Value(f"TYPE_{kind.upper()}")
            else:
                one.type = kind_of.TYPE_MESSAGE
                one.type_name = kind
    pool.Add(file)
    first = next(iter(fields))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{name}.{first}"))()


def parse(file: str, message: Any) -> Any:
    from google.protobuf import text_format

    return text_format.Parse((SERVING / file).read_text(), message)


def test_models_config() -> None:
    proto = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    config = parse("models.config", proto.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert model.name == "sessionrec"
    assert model.base_path.startswith("/")
    assert model.model_platform == "tensorflow"
    assert list(model.model_version_policy.specific.versions) == [1]
    assert dict(model.version_labels) == {"stable": 1, "canary": 1}


def test_batching_config() -> None:
    integer = ".google.protobuf.Int64Value"
    # Names and numbers of tensorflow_serving/servables/tensorflow/session_bundle_config.proto.
    config = parse(
        "batching.config",
        text_message(
            "batching",
            {
                "BatchingParameters": {
                    "max_batch_size": (1, integer, False),
                    "batch_timeout_micros": (2, integer, False),
                    "max_enqueued_batches": (3, integer, False),
                    "num_batch_threads": (4, integer, False),
                    "allowed_batch_sizes": (6, "int64", True),
                    "pad_variable_length_inputs": (7, "bool", False),
                }
            },
        ),
    )
    sizes = list(config.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[0] == 1
    # The server refuses to load a model otherwise.
    assert sizes[-1] == config.max_batch_size.value
    # It would pad with real items.
    assert not config.pad_variable_length_inputs
    assert config.num_batch_threads.value > 0
    assert config.max_enqueued_batches.value > 0


def test_monitoring_config() -> None:
    config = parse(
        "monitoring.config",
        text_message(
            "monitoring",
            {
                "MonitoringConfig": {
                    "prometheus_config": (1, ".monitoring.PrometheusConfig", False)
                },
                "PrometheusConfig": {"enable": (1, "bool", False), "path": (2, "string", False)},
            },
        ),
    )
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_compose() -> None:
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]
    assert {name: one["profiles"] for name, one in services.items()} == {
        "server-cpu": ["cpu"],
        "server-gpu": ["gpu"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }
    assert services["server-cpu"]["image"] == "tensorflow/serving:2.20.0"
    assert services["server-gpu"]["image"] == "tensorflow/serving:2.20.0-gpu"
    assert services["server-gpu"]["runtime"] == "nvidia"
    for name, one in services.items():
        # Nothing listens but on this machine.
        assert all(str(port).startswith("127.0.0.1:") for port in one["ports"]), name
    for name in ("server-cpu", "server-gpu"):
        flags = dict(flag.removeprefix("--").split("=", 1) for flag in services[name]["command"])
        for flag in ("model_config_file", "monitoring_config_file", "batching_parameters_file"):
            if flag in flags:
                assert flags[flag].startswith("/config/")
                assert (SERVING / flags[flag].removeprefix("/config/")).is_file()
        # Labels at the start, and a configuration that the server reads again.
        assert flags["allow_version_labels_for_unavailable_models"] == "true"
        assert int(flags["model_config_file_poll_wait_seconds"]) > 0
        assert "GRPC_THREADS" in flags["grpc_max_threads"]
        # The server refuses all three together, and parameters without batching.
        assert "tensorflow_session_parallelism" not in flags
        assert ("batching_parameters_file" in flags) == ("enable_batching" in flags)
    for volume in services["prometheus"]["volumes"] + services["grafana"]["volumes"]:
        assert (SERVING / volume.split(":")[0]).exists()


def metrics_of(expression: str) -> list[tuple[str, set[str]]]:
    """Names of metrics in an expression, and the labels that it asks for."""
    found = re.findall(r"(:tensorflow:[a-z_:]+)(?:\{([^}]*)\})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))) for name, labels in found]


def check(expression: str) -> None:
    names = metrics_of(expression)
    assert names, expression
    for name, labels in names:
        assert name in METRICS, name
        assert labels <= METRICS[name], (name, labels)
    assert expression.count("(") == expression.count(")")


def test_prometheus() -> None:
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load((SERVING / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["metrics_path"] == "/monitoring/prometheus/metrics"
    assert job["static_configs"] == [{"targets": ["server:8501"]}]
    for file in config["rule_files"]:
        for group in yaml.safe_load((SERVING / file).read_text())["groups"]:
            for rule in group["rules"]:
                if not rule["expr"].startswith("up{"):
                    check(rule["expr"])


def test_dashboard() -> None:
    dashboard = json.loads((SERVING / "grafana/dashboards/sessionrec.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 6
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    for expression in expressions:
        check(expression)
    (variable,) = dashboard["templating"]["list"]
    check(variable["query"])
    seen = {name for expression in expressions for name, _ in metrics_of(expression)}
    assert {":tensorflow:serving:request_count", ":tensorflow:serving:request_latency_bucket"} <= (
        seen
    )


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    yaml = pytest.importorskip("yaml")
    folder = SERVING / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    dashboard = json.loads((SERVING / "grafana/dashboards/sessionrec.json").read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
    (provider,) = yaml.safe_load((folder / "dashboards/dashboards.yaml").read_text())["providers"]
    mounted = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]["grafana"]
    assert any(volume.split(":")[1] == provider["options"]["path"] for volume in mounted["volumes"])
