"""The pins, the package as it is built, and the scripts behind make; nothing is installed."""

import ast
import importlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mmkeras
from mmkeras.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
PINS = [line.split("  #")[0].strip() for line in REQUIREMENTS.splitlines() if line[:1] not in "#"]
posix = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="shell scripts, fake tools")


def ranges(*extras):
    extra = [line for name in extras for line in PROJECT["optional-dependencies"][name]]
    return [Requirement(line) for line in PROJECT["dependencies"] + extra]


def names(*extras):
    return {canonicalize_name(requirement.name) for requirement in ranges(*extras)}


# --- pins ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pin", PINS)
def test_every_line_is_one_exact_version(pin):
    assert re.fullmatch(r"[a-z0-9.-]+==[0-9][\w.]*( ; [\w. '<>=!()]+)?", pin)


def test_one_version_for_every_python_and_system():
    pinned = [Requirement(pin).name for pin in PINS]
    assert len(pinned) == len(set(pinned)) > 100


def test_every_range_is_pinned_within_itself():
    pinned = {r.name: r.specifier for r in map(Requirement, PINS)}
    extras = set(PROJECT["optional-dependencies"])
    assert extras > {"bench"} and all(
        f"--extra {name}" in REQUIREMENTS for name in extras - {"bench"}
    )
    for wanted in ranges(*extras - {"bench"}):
        version = str(pinned[canonicalize_name(wanted.name)]).removeprefix("==")
        assert wanted.specifier.contains(version), f"{wanted}, but pinned {version}"


def test_what_the_course_needs_is_named_and_torch_is_not():
    pinned = {Requirement(pin).name for pin in PINS}
    course = (
        "tensorflow keras numpy pandas matplotlib seaborn scikit-learn jupyterlab nbval".split()
    )
    assert set(course) <= pinned
    assert not [name for name in pinned if name.startswith(("torch", "nvidia"))]


@pytest.mark.parametrize("file", ["requirements.txt", "environment.yml"])
def test_no_index_no_host_no_path(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not re.search(r"://|@|file:|^-|--(index|extra-index|find)|(^|\s)/\w", text, re.MULTILINE)


def test_the_header_names_the_tool_and_its_command():
    head = REQUIREMENTS.splitlines()[:4]
    assert any("make requirements" in line for line in head)
    assert any("uv pip compile" in line and "pyproject.toml" in line for line in head)


def test_conda_environment_has_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]
    assert packages["pip"] == [" ".join(pin.split()) for pin in PINS]
    assert pip == "pip" and environment["name"] == PROJECT["name"]
    assert Requirement(PROJECT["name"] + PROJECT["requires-python"]).specifier.contains(
        python.removeprefix("python=")
    )


def imported(folder):
    """Third-party distributions that the Python files of a folder import, with one such file."""
    distributions = importlib.metadata.packages_distributions()
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for module in (name.partition(".")[0] for name in modules):
                if module not in sys.stdlib_module_names and module in distributions:
                    yield {canonicalize_name(name) for name in distributions[module]}, path.name


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("mmkeras", ["course", "export", "serve", "scale", "privacy"]),
        ("tools", ["course", "test", "dev"]),
    ],
)
def test_every_import_is_a_declared_dependency(folder, extras):
    declared = names(*extras) | {"mmkeras"}
    pins = (ROOT / "book" / "requirements.txt").read_text(encoding="utf-8")
    of_the_book = declared | set(re.findall(r"(?m)^([\w.-]+)==", pins))  # an environment of its own
    found = list(imported(folder))
    assert found
    assert not [
        (owners, file)
        for owners, file in found
        if not owners & (of_the_book if file.startswith("book") else declared)
    ]


# --- what the texts say ---------------------------------------------------------------------------

TEXTS = ["mmkeras", "README.md", "CONTRIBUTING.md", "docs", "data", "tools"]
# `mmkeras train`, python -m mmkeras train, "To mend it: mmkeras data fetch", an indented line
DATA = ("list", "fetch", "verify", "forget", "lock", "unlock")
NAMED = re.compile(r"(?:`|-m |^ {2,}|: )mmkeras ([a-z]+)\b(?: ([a-z]+))?", re.MULTILINE)


@pytest.mark.parametrize("place", TEXTS)
def test_texts_name_commands_that_exist(place):
    found = ROOT / place
    paths = [found] if found.is_file() else [*found.rglob("*.py"), *found.rglob("*.md")]
    for path in (path for path in paths if "cache" not in path.relative_to(ROOT).parts):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"-m mmkeras\.\w+", text), f"{path}: modules are no commands"
        for command, action in NAMED.findall(text):
            assert command in {*COMMANDS, "help"}, f"{path}: mmkeras {command}"
            if command == "data":
                assert action in ("", *DATA), f"{path}: mmkeras data {action}"


def test_lines_of_the_pages_have_at_most_120_columns():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "data" / "README.md"]
    assert len(pages) >= 6
    for page in pages:
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            assert len(line) <= 120 or line.startswith("|"), f"{page.name}, line {number}"


def test_the_times_of_the_chapters_are_those_that_the_chapters_say():
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\(notebooks/(\d\d_\w+\.ipynb)\) \|.*\| (\d+) \| (\d+) \|", table)
    assert [name for name, *_ in rows] == sorted(
        path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")
    )
    for name, reading, running in rows:
        text = (ROOT / "notebooks" / name).read_text(encoding="utf-8")
        said = re.search(r"\*\*Time:\*\* (\d+) min to read.*?(\d+) s to run", text)
        assert said.groups() == (reading, running), name


LOADERS = {
    "emoji": "load_emoji",
    "reviews": "load_reviews",
    "syllables": "load_syllables",
    "heart.sources": "(?:load|simulate)_heart",
}


@pytest.mark.parametrize("module", LOADERS)
def test_a_data_set_says_which_chapters_use_it(module):
    head = importlib.import_module(f"mmkeras.datasets.{module}").__doc__
    said = re.search(r"Used in chapters? ([\d, ]+)\.", " ".join(head.split()))[1].split(", ")
    pattern = re.compile(rf"\b{LOADERS[module]}\(")
    chapters = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    used = [p.name[:2] for p in chapters if pattern.search(p.read_text(encoding="utf-8"))]
    assert said == used


def test_the_classes_in_saved_models_are_known_after_mm_start():
    """It imports models and retrieval; what stands above would be unknown when a model loads."""
    found = [
        p for p in (ROOT / "mmkeras").rglob("*.py") if "register_keras" in p.read_text("utf-8")
    ]
    rooms = {path.relative_to(ROOT / "mmkeras").parts[0].removesuffix(".py") for path in found}
    assert {"branches", "fusion"} < rooms <= {*ROOMS[: ROOMS.index("retrieval") + 1]}


# From the ground up: a room imports only rooms that stand before it.
ROOMS = (
    "arguments files usage assets formats composite attention branches fusion missing models "
    "retrieval generation explain compression training session evaluate plots "
    "pretrained datasets table serve doctor checks"
).split()


def rooms_imported(path):
    """The rooms of mmkeras that a file imports, by `from ..x import` or `from .. import x`."""
    package = ["mmkeras", *path.relative_to(ROOT / "mmkeras").parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            dotted = [*base, *(node.module or "").split(".")] if node.module else base
            names = [alias.name for alias in node.names]
            found = dotted[1:2] if len(dotted) > 1 else names
            yield from found if dotted[:1] == ["mmkeras"] else []
        elif isinstance(node, ast.Import):
            dotted = [alias.name.split(".") for alias in node.names]
            yield from (parts[1] for parts in dotted if parts[0] == "mmkeras" and parts[1:])


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down(room):
    place = ROOT / "mmkeras" / room
    files = [*place.rglob("*.py")] if place.is_dir() else [place.with_suffix(".py")]
    for path in (path for path in files if path.exists()):
        up = {name for name in rooms_imported(path) if name in ROOMS[ROOMS.index(room) + 1 :]}
        assert not up, f"{path.name} imports {up}, which stand above {room}"


def test_the_layout_lists_the_rooms_from_the_top_down():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`mmkeras/.*?) \|", text, re.MULTILINE)
    places = [ROOMS.index(room) for row in rows[1:] for room in re.findall(r"mmkeras/(\w+)", row)]
    assert rows[0] == "`mmkeras/__main__.py`" and sorted(places) == [*range(len(ROOMS))]
    assert places == sorted(places, reverse=True)


def test_every_room_has_its_place_in_that_order():
    there = {path.stem for path in (ROOT / "mmkeras").iterdir() if not path.name.startswith("_")}
    assert there - {"py"} <= set(ROOMS)
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "mmkeras").rglob("*.py"))
    assert not re.findall(r"^\s*(?:from|import) (?:tools|benchmarks|tests)\b", code, re.MULTILINE)


# --- the package ---------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["version"] == mmkeras.__version__
    assert re.search(r"(?m)^## \[([\d.]+)\]", changes)[1] == mmkeras.__version__


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_the_catalogue(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
        catalogue = archive.read("mmkeras/assets/catalogue.toml")
        metadata = archive.read(f"mmkeras-{mmkeras.__version__}.dist-info/METADATA").decode()
    assert catalogue == (ROOT / "data" / "catalogue.toml").read_bytes()
    assert f"Version: {mmkeras.__version__}" in metadata and "Requires-Dist: keras" in metadata
    assert {f"mmkeras/{p.name}" for p in (ROOT / "mmkeras").glob("*.py")} <= set(files)
    assert not [name for name in files if not name.startswith("mmkeras")]


# --- the scripts, with tools that only write down how they are called -------------------------

PYTHON = """#!/bin/sh
[ "$1" = --version ] && { echo "Python 3.12.0"; exit; }
[ "$1" = - ] && exit   # the probe: nothing is lacking
echo "$*" >> "$CALLS"
rm -rf .venv; mkdir -p .venv/bin
cat > .venv/bin/python <<'END'
#!/bin/sh
[ "$1" = -c ] && exit
echo "$*" >> "$CALLS"
exit ${PIP_STATUS:-0}
END
chmod +x .venv/bin/python
"""


class Clone:
    """A folder with the scripts and the pins, and a PATH of tools that are fake or harmless."""

    def __init__(self, folder):
        self.folder, self.bin, self.calls = folder / "clone", folder / "bin", folder / "calls"
        (self.folder / "tools").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(ROOT / "tools" / "setup.sh", self.folder / "tools")
        for file in ("requirements.txt", "pyproject.toml"):
            shutil.copy(ROOT / file, self.folder)
        for tool in "sh cat cmp dirname head id mkdir chmod mv rm sed uname".split():
            (self.bin / tool).symlink_to(shutil.which(tool))

    def tool(self, name, text):
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def run(self, **env):
        """Status, everything printed, and the calls that were made."""
        self.calls.write_text("", encoding="utf-8")
        ran = subprocess.run(
            [shutil.which("sh"), f"{self.folder}/tools/setup.sh"],
            env={"PATH": str(self.bin), "CALLS": str(self.calls), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        return ran.returncode, ran.stdout, self.calls.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def clone(tmp_path):
    clone = Clone(tmp_path)
    clone.tool("python3.13", PYTHON)
    return clone


PIP = "-m pip --disable-pip-version-check install "


@posix
def test_set_up_installs_once_and_then_does_nothing(clone):
    status, _, calls = clone.run()
    package = PIP + "--quiet --no-deps --no-build-isolation -e ."
    assert (status, calls) == (0, ["-m venv --clear .venv", PIP + "-r requirements.txt", package])
    assert clone.run() == (0, "", [])


@posix
@pytest.mark.parametrize("file", ["requirements.txt", "pyproject.toml"])
def test_set_up_follows_a_change(clone, file):
    clone.run()
    with open(clone.folder / file, "a", encoding="utf-8") as text:
        text.write("# changed\n")
    status, _, calls = clone.run()
    assert status == 0 and len(calls) == 2 and not any("venv" in call for call in calls)
    assert clone.run() == (0, "", [])


@posix
def test_set_up_that_was_cut_off_starts_anew(clone):
    status, printed, calls = clone.run(PIP_STATUS="1")
    assert status == 1 and "run make again" in printed and len(calls) == 2
    status, _, calls = clone.run()
    assert status == 0 and calls[0] == "-m venv --clear .venv"


@posix
def test_a_change_that_was_cut_off_starts_anew(clone):
    clone.run()
    (clone.folder / "requirements.txt").write_text("numpy==2.1.0\n", encoding="utf-8")
    assert clone.run(PIP_STATUS="1")[0] == 1
    assert clone.run()[2][0] == "-m venv --clear .venv"


@posix
@pytest.mark.parametrize("harm", ["empty folder", "no interpreter", "moved"])
def test_a_broken_environment_is_built_anew(clone, harm):
    clone.run()
    if harm == "empty folder":
        shutil.rmtree(clone.folder / ".venv")
        (clone.folder / ".venv").mkdir()
    elif harm == "no interpreter":
        (clone.folder / ".venv/bin/python").unlink()
    else:
        clone.folder = clone.folder.rename(clone.folder.with_name("elsewhere"))
    status, _, calls = clone.run()
    assert status == 0 and calls[0] == "-m venv --clear .venv"


@posix
def test_a_gpu_brings_the_cuda_build_of_the_pinned_tensorflow(clone):
    (pin,) = [pin for pin in PINS if pin.startswith("tensorflow==")]
    assert not any("cuda" in call for call in clone.run()[2])
    clone.tool("nvidia-smi", "#!/bin/sh\n")
    assert PIP + "-r requirements.txt " + pin.replace("==", "[and-cuda]==") in clone.run()[2]
    assert clone.run() == (0, "", [])
    clone.tool("nvidia-smi", "#!/bin/sh\nexit 9\n")  # installed, but the driver does not answer
    assert not any("cuda" in call for call in clone.run()[2])


@posix
def test_a_gpu_can_be_left_alone(clone):
    clone.tool("nvidia-smi", "#!/bin/sh\n")
    assert not any("cuda" in call for call in clone.run(CUDA="no")[2])


@posix
def test_a_python_that_does_not_run_is_passed_over(clone):
    clone.tool("python3.12", "#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    assert clone.run()[0] == 0


@posix
def test_no_python_is_explained(clone):
    clone.tool("python3.13", "#!/bin/sh\nexit 127\n")
    clone.tool("python3.11", f'#!/bin/sh\nexec {sys.executable} -c "{OLD}" "$@"\n')
    clone.tool("python3", f'#!/bin/sh\nexec {sys.executable} -c "{NO_PIP}" "$@"\n')
    status, printed, calls = clone.run()
    assert (status, calls) == (1, [])
    assert "needs Python 3.11, 3.12 or 3.13" in printed and "make lab PYTHON=" in printed
    assert "python3.13: does not run" in printed and "python3.12: not found" in printed
    assert "python3.11: is Python 3.10" in printed
    assert re.search(r"python3: cannot make .*apt-get install python3\.1[123]-venv", printed)


OLD = "import sys; sys.version_info = (3, 10, 2); exec(sys.stdin.read())"
NO_PIP = "import sys; sys.modules['ensurepip'] = None; exec(sys.stdin.read())"


@posix
def test_a_python_named_by_the_user_is_the_only_one_tried(clone):
    status, printed, _ = clone.run(PYTHON="python9")
    assert (
        status == 1
        and "python9: not found" in printed
        and "python3.13" not in printed.split("make")[0]
    )


@posix
def test_make_help_names_every_target():
    targets = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    printed = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, encoding="utf-8"
    ).stdout
    assert re.findall(r"^  make ([\w-]+)", printed, re.MULTILINE) == targets[0].split()


def test_ci_runs_make_test_and_nothing_else():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").split("\n")
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["make test"]


def test_the_workflow_names_tests_that_exist():
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    named = re.findall(r"tests/\S+\.py", workflow)
    assert len(named) > 5 and all(list(ROOT.glob(name)) for name in named)
