"""The agent as one archive in memory: `deploy.agent` and what of ours it imports, standard library only."""

import functools
import io
import zipfile

from cluster.paths import PROJECT

PARTS = (
    *("cluster/__init__.py", "cluster/file_lock.py", "cluster/pair.py"),
    *("deploy/__init__.py", "deploy/processes.py", "deploy/procfs.py"),
    *("deploy/keeper/__init__.py", "deploy/keeper/client.py"),
)


@functools.cache
def agent_archive() -> bytes:
    """A zip archive that Python can import from; the same bytes for the same files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [*map(PROJECT.joinpath, PARTS), *sorted((PROJECT / "deploy" / "agent").glob("*.py"))]:
            entry = zipfile.ZipInfo(str(path.relative_to(PROJECT)), (2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return content.getvalue()
