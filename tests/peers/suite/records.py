"""Has everything that left Assay its record in the audit?

records.py AUDIT RECEIVED REFUSALS

AUDIT holds one record a line, RECEIVED lines of "request_id token" (or "- token"
where the client did not say), REFUSALS a request_id a line.
"""

import base64
import json
import sys


def claims(token: str) -> dict:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def lines(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]


def main(audit: str, received: str, refusals: str) -> int:
    records = [json.loads(line) for line in lines(audit)]
    issued = {r["credential"]["id"]: r for r in records if r.get("outcome") == "issued"}
    refused = {r["request_id"] for r in records if r.get("outcome") in ("refused", "failed")}
    absent = []
    for line in lines(received):
        request, token = line.split()
        token = claims(token)
        record = issued.get(token["jti"])
        if record is None:
            absent.append(f"no record of the credential {token['jti']}")
        elif request not in ("-", record["request_id"]):
            absent.append(f"{token['jti']} is recorded for another request than {request}")
    absent += [f"no record of the refusal {id}" for id in lines(refusals) if id not in refused]
    print(f"{len(records)} records, {len(lines(received))} tokens, {len(lines(refusals))} refusals")
    print("\n".join(absent), file=sys.stderr, end="\n" if absent else "")
    return 1 if absent or not issued else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
