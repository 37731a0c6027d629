"""An issuer for the self-check, in the place where Assay will be.

    throwaway_issuer.py keys DIR                     a P-256 key and its jwks.json
    throwaway_issuer.py serve DIR PORT CERT KEY      DIR/jwks.json over https
    throwaway_issuer.py mint DIR PERMISSION...       a token on stdout
        [--life SECONDS] [--stranger]                its life; signed by a key
                                                     that the set does not hold
"""

import argparse
import http.server
import json
import ssl
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

KID = "throwaway"


def keys(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    key_set = {"keys": [public | {"kid": KID, "use": "sig", "alg": "ES256"}]}
    (folder / "jwks.json").write_text(json.dumps(key_set))


def serve(folder: Path, port: int, certificate: str, key: str) -> None:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/jwks.json":
                return self.send_error(404)
            return super().do_GET()

        def log_message(self, *_):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", port),
        lambda *arguments: Handler(*arguments, directory=folder),
    )
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("READY", flush=True)
    server.serve_forever()


def mint(folder: Path, permissions: list[str], life: int, stranger: bool) -> str:
    key = (folder / "key.pem").read_bytes()
    if stranger:
        key = ec.generate_private_key(ec.SECP256R1())
    now = int(time.time())
    claims = {
        "sub": "workload",
        "iat": now - 30,
        "nbf": now - 30,
        "exp": now + life,
        "permissions": permissions,
    }
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": KID})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("keys", "serve", "mint"):
        commands.add_parser(name).add_argument("folder", type=Path)
    serving = commands.choices["serve"]
    serving.add_argument("port", type=int)
    serving.add_argument("certificate")
    serving.add_argument("key")
    minting = commands.choices["mint"]
    minting.add_argument("permissions", nargs="*")
    minting.add_argument("--life", type=int, default=600)
    minting.add_argument("--stranger", action="store_true")
    options = parser.parse_args()

    if options.command == "keys":
        keys(options.folder)
    elif options.command == "serve":
        serve(options.folder, options.port, options.certificate, options.key)
    else:
        print(mint(options.folder, options.permissions, options.life, options.stranger))


if __name__ == "__main__":
    main()
