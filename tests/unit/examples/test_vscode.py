"""The extension for Visual Studio Code says what the adapter takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from emulator.debug.dap.arguments import Arguments
from emulator.debug.dap.launch import ATTRIBUTES, read_launch

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples" / "vscode"


def package() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((FOLDER / "package.json").read_text()))


def debugger() -> dict[str, Any]:
    (found,) = package()["contributes"]["debuggers"]
    return cast("dict[str, Any]", found)


def test_the_attributes_of_a_launch_are_those_that_the_adapter_takes() -> None:
    launch = debugger()["configurationAttributes"]["launch"]
    assert launch == {"required": ["program"], "properties": ATTRIBUTES}


def configurations() -> list[dict[str, Any]]:
    launches = json.loads((FOLDER / "launch.json").read_text())["configurations"]
    snippets = [each["body"] for each in debugger()["configurationSnippets"]]
    return [*launches, *debugger()["initialConfigurations"], *snippets]


@pytest.mark.parametrize("configuration", configurations(), ids=lambda each: each["name"])
def test_the_launches_are_such_that_the_adapter_takes(configuration: dict[str, Any]) -> None:
    assert (configuration["type"], configuration["request"]) == (debugger()["type"], "launch")
    assert read_launch(Arguments(configuration, "launch")).program


def test_the_extension_starts_the_adapter_of_this_type() -> None:
    text = (FOLDER / package()["main"]).read_text()
    assert f'registerDebugAdapterDescriptorFactory("{debugger()["type"]}"' in text
    assert '["dap"]' in text
    assert set(re.findall(r'require\("(\w+)"\)', text)) == {"vscode"}
    assert package()["activationEvents"] == [f"onDebugResolve:{debugger()['type']}"]


def test_each_attribute_is_in_the_documentation() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "dap.md").read_text(), re.MULTILINE)
    assert [each for each in rows if each in ATTRIBUTES] == list(ATTRIBUTES)
