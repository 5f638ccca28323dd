"""Order of weights as in the stack file.

Pulumi passes a mapping to the program with its keys in alphabetical order. The order of a split's weights is visible:
it is the order of the backends. So this order is read from the stack file itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mesh import bounded_io, strict_yaml
from mesh.kube.json_access import as_mapping


def read_stack_file_config(file: Path, prefixes: tuple[str, ...]) -> dict[str, Any]:
    """Return the configuration in a stack file, by key without the project's prefix.

    The result is empty if the file cannot be read, for example because Pulumi reads another file (`--config-file`).

    Args:
        file: the stack file.
        prefixes: valid prefixes of the keys, such as `multicluster-mesh:`.
    """
    try:
        content = strict_yaml.load(bounded_io.read_regular_file(file), loader=strict_yaml.PulumiLoader)
    except (OSError, ValueError, strict_yaml.StrictYamlError):
        return {}
    config: dict[str, Any] = {}
    for key, value in as_mapping(as_mapping(content).get("config")).items():
        prefix = next((prefix for prefix in prefixes if str(key).startswith(prefix)), "")
        config.setdefault(str(key).removeprefix(prefix), value)
    return config


def has_ordered_weights(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration contains weights whose order is visible."""
    return any(len(weights) > 1 for weights in _find_weights(config).values())


def restore_weight_order(config: Mapping[str, Any], stack_file: Mapping[str, Any]) -> None:
    """Bring the weights of a configuration into the order of the stack file.

    Weights of other clusters than in the stack file keep their order.

    Args:
        config: the configuration from Pulumi, which is changed.
        stack_file: the configuration in the stack file.
    """
    original = _find_weights(stack_file)
    for path, weights in _find_weights(config).items():
        keys = [str(key) for key in original.get(path, ())]
        if sorted(keys) == sorted(weights):
            values = dict(weights)
            weights.clear()
            weights.update({key: values[key] for key in keys})


def _find_weights(config: Mapping[str, Any]) -> dict[tuple[int | str, ...], dict[str, Any]]:
    """Return the weights of all splits, by the path of the sample or service and the index of the split."""
    settings_by_path: dict[tuple[int | str, ...], Any] = {
        (index, str(sample)): settings
        for index, workload in _entries(config.get("workloads"))
        for sample, settings in workload.items()
    }
    services = as_mapping(config.get("services"))
    settings_by_path |= {("services", str(key)): settings for key, settings in services.items()}
    return {
        (*path, number): split["weights"]
        for path, settings in settings_by_path.items()
        for number, split in _entries(as_mapping(settings).get("splits"))
        if isinstance(split.get("weights"), dict)
    }


def _entries(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the mappings of a list with their indices."""
    for index, entry in enumerate(value if isinstance(value, list) else []):
        if isinstance(entry, dict):
            yield index, entry
