"""A release is its content: the same files, the same id and archive, wherever and whenever."""

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ConfigError
from cluster.load import parse
from deploy.release import Environment, Release, build

PARTS = {
    "cluster/a.py": "A = 1\n",
    "balancer/b.py": "",
    "node/n.py": "",
    "dashboard/static/vendor/x.js": "x",
    "dashboard/assets/install.py": "not for hosts",
    "deploy/__init__.py": "",
    "deploy/run_node.py": "",
    "deploy/processes.py": "",
    "deploy/procfs.py": "",
    "deploy/rollout.py": "only for the operator",
    "deploy/supervisor/listener.py": "",
    "deploy/keeper/keeper.py": "",
    "scripts/linux/fairlead": "#!/bin/sh\n",
    "scripts/linux/venv.sh": "",
    "requirements.lock": "flask==3.1.3 --hash=sha256:aa\n",
    "LICENSE": "MIT",
}
CONFIG: dict[str, Any] = {"balancers": [{"name": "b1"}], "nodes": [{"name": "l1", "port": 5001}]}


def project(folder: Path, **more: str) -> Path:
    for name, text in {**PARTS, **more}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "scripts/linux/fairlead").chmod(0o755)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def built(folder: Path, config: dict[str, Any] = CONFIG) -> Release:
    (folder / "config.json").write_text(json.dumps(config))
    return build(parse(json.dumps(config)), folder / "config.json", folder)


def test_the_same_content_has_the_same_id_and_the_same_bytes(tmp_path: Path) -> None:
    one, two = built(project(tmp_path / "one")), built(project(tmp_path / "two"))
    for path in (tmp_path / "two").rglob("*"):
        os.utime(path, (1, 1))
    shutil.copytree(tmp_path / "one" / "cluster", tmp_path / "one" / "cluster" / "__pycache__")
    assert one.id == two.id == built(tmp_path / "one").id
    assert len(one.id) == 12
    assert one.archive() == two.archive()


@pytest.mark.parametrize("name", ["cluster/a.py", "dashboard/static/vendor/x.js", "requirements.lock"])
def test_any_changed_file_is_another_release(tmp_path: Path, name: str) -> None:
    before = built(project(tmp_path)).id
    (tmp_path / name).write_text("changed")
    assert built(tmp_path).id != before


def test_another_configuration_or_mode_is_another_release(tmp_path: Path) -> None:
    before = built(project(tmp_path)).id
    assert built(tmp_path, {**CONFIG, "fleet": "other"}).id != before
    (tmp_path / "cluster/a.py").chmod(0o755)
    assert built(tmp_path).id != before


def test_what_only_the_operator_runs_is_no_part_of_it(tmp_path: Path) -> None:
    release = built(project(tmp_path))
    assert {"deploy/rollout.py", "dashboard/assets/install.py"} & set(release.files) == set()
    assert {"config.json", "deploy/supervisor/listener.py", "requirements.lock"} <= set(release.files)
    (tmp_path / "deploy/rollout.py").write_text("changed")
    assert built(tmp_path).id == release.id


def test_the_archive_holds_modes_and_times_that_follow_the_content(tmp_path: Path) -> None:
    def members() -> dict[str, tarfile.TarInfo]:
        with tarfile.open(fileobj=io.BytesIO(built(tmp_path).archive())) as tar:
            return {member.name: member for member in tar}

    project(tmp_path)
    before = members()
    assert before["scripts/linux/fairlead"].mode == 0o755
    assert before["cluster/a.py"].mode == 0o644
    (tmp_path / "cluster/a.py").write_text("A = 2\n")  # as long as before: only its time tells a browser's cache
    after = members()
    assert after["cluster/a.py"].mtime != before["cluster/a.py"].mtime
    assert after["node/n.py"].mtime == before["node/n.py"].mtime


def command_node(**app: str) -> dict[str, Any]:
    node = {"name": "shop", "port": 5002, "runs": "command", "command": "serve {port}", "app": app}
    node["probe"] = {"path": "/"}
    return {**CONFIG, "nodes": [*CONFIG["nodes"], node]}


def test_a_command_nodes_folder_and_packages_travel_along(tmp_path: Path) -> None:
    project(tmp_path, **{"apps/shop/serve.py": "", "apps/shop/needs.txt": "requests==2\n", "apps/shop/.venv/x": "no"})
    release = built(tmp_path, command_node(path="apps/shop", requirements="needs.txt"))
    assert {name for name in release.files if name.startswith("apps")} == {"apps/shop/serve.py", "apps/shop/needs.txt"}
    assert release.apps == {"apps/shop": Environment("requests==2\n")}
    assert release.environment_of("") != release.environment_of("apps/shop")


def test_an_app_that_is_not_there_is_named_with_its_key(tmp_path: Path) -> None:
    project(tmp_path, **{"apps/shop/serve.py": ""})
    with pytest.raises(ConfigError, match=r"nodes\[1\]\.app\.path\s+there is no folder .*apps/gone"):
        built(tmp_path, command_node(path="apps/gone"))
    with pytest.raises(ConfigError, match=r"nodes\[1\]\.app\.requirements\s+there is no file .*needs\.txt"):
        built(tmp_path, command_node(path="apps/shop", requirements="needs.txt"))


def test_an_environment_is_another_for_other_packages_python_or_machine() -> None:
    packages = Environment("a==1 --hash=sha256:00\n")
    keys = {
        packages.key("3.11.2", "x86_64"),
        packages.key("3.11.3", "x86_64"),
        packages.key("3.11.2", "aarch64"),
        Environment("a==2\n").key("3.11.2", "x86_64"),
    }
    assert len(keys) == 4
    assert packages.hashed
    assert not Environment("a==2\n").hashed
