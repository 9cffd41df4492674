"""Runs the whole life of an app with pydo, the original's own client, and checks every answer against the contract.

Says each step on standard output; ends with a traceback at the first thing that is wrong.
"""

import argparse
import datetime
import json
import ssl
import time
import traceback
import urllib.parse
import urllib.request

import websocket
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from pydo import Client

from contract import Contract

POLL_EVERY = 0.3
DEPLOYS_WITHIN = 240
SETTLES_WITHIN = 60
# Looks are a minute apart.
MEASURED_WITHIN = 150
FINAL = ("ACTIVE", "ERROR", "CANCELED", "SUPERSEDED")


class Checking(SansIOHTTPPolicy):
    """Sees every answer."""

    def __init__(self, contract):
        self.contract = contract
        self.wrong = []
        self.last = None

    def on_response(self, request, response):
        answer = response.http_response
        url = urllib.parse.urlsplit(request.http_request.url)
        self.last = answer
        self.wrong += self.contract.check(
            request.http_request.method, url.path, answer.status_code, answer.headers.get("content-type"), answer.body()
        )


class Life:
    """One app from its creation to its end."""

    def __init__(self, arguments):
        with open(arguments.token_file, encoding="utf-8") as file:
            token = file.read().strip()
        self.contract = Contract(arguments.contract)
        self.checking = Checking(self.contract)
        # A 500 would be hidden by another try.
        client = Client(token, endpoint=arguments.endpoint, per_call_policies=[self.checking], retry_total=0, connection_verify=arguments.ca)
        self.apps, self.account, self.monitoring = client.apps, client.account, client.monitoring
        self.ca = arguments.ca
        self.tls = ssl.create_default_context(cafile=arguments.ca)
        self.source = {"repo_clone_url": arguments.source, "branch": "main"}
        self.id = None

    def spec(self, greeting="first", **web):
        service = {
            "name": "web",
            "git": self.source,
            "http_port": 8080,
            "instance_count": 1,
            "instance_size_slug": "apps-s-1vcpu-1gb",
            "health_check": {"period_seconds": 1, "failure_threshold": 20},
            "termination": {"grace_period_seconds": 5},
            "envs": [{"key": "GREETING", "value": greeting, "scope": "RUN_TIME"}],
            **web,
        }
        job = {"name": "announce", "kind": "POST_DEPLOY", "git": self.source, "run_command": "echo announced"}
        return {"name": "pydo-life", "services": [service], "jobs": [job], "alerts": [{"rule": "DEPLOYMENT_FAILED"}]}

    def wait(self, deployment):
        """Polls as clients do; progress must never go back."""
        deadline = time.monotonic() + DEPLOYS_WITHIN
        done = 0
        while time.monotonic() < deadline:
            found = self.apps.get_deployment(self.id, deployment)["deployment"]
            progress = found["progress"]
            assert progress["total_steps"] > 0, progress
            assert progress.get("success_steps", 0) >= done, f"{done} steps were done already: {progress}"
            done = progress.get("success_steps", 0)
            if found["phase"] in FINAL:
                return found
            time.sleep(POLL_EVERY)
        raise AssertionError(f"deployment {deployment} does not end: {json.dumps(found['progress'])}")

    def await_active(self, deployment):
        found = self.wait(deployment)
        assert found["phase"] == "ACTIVE", json.dumps(found)[:4000]
        progress = found["progress"]
        assert progress["success_steps"] == progress["total_steps"], progress
        assert progress.get("error_steps", 0) == 0, progress
        assert all(step["status"] == "SUCCESS" for step in progress["steps"]), progress
        return found

    def logs(self, answer):
        assert answer.get("historic_urls"), answer
        return "".join(urllib.request.urlopen(url, timeout=20, context=self.tls).read().decode() for url in answer["historic_urls"])

    def made_by(self, answer):
        """Which deployment a create or an update made, found as doctl and Terraform do: it may be past pending when the answer comes."""
        newest = self.apps.list_deployments(answer["app"]["id"])["deployments"][0]["id"]
        assert answer["deployment_id"] == newest, answer
        return newest

    def await_log(self, ask, words):
        deadline = time.monotonic() + SETTLES_WITHIN
        while words not in (text := self.logs(ask())):
            assert time.monotonic() < deadline, f"the log never says {words!r}:\n{text}"
            time.sleep(POLL_EVERY)
        return text

    # === the steps, in order ===

    def creates(self):
        assert self.account.get()["account"]["status"] == "active"
        assert any(region.get("default") for region in self.apps.list_regions()["regions"])
        sizes = self.apps.list_instance_sizes()["instance_sizes"]
        slug = sizes[0]["slug"]
        assert self.apps.get_instance_size(slug)["instance_size"]["slug"] == slug
        proposal = self.apps.validate_app_spec({"spec": self.spec()})
        assert proposal["app_name_available"] is True, proposal
        created = self.apps.create({"spec": self.spec()})
        self.id = created["app"]["id"]
        self.first = self.await_active(self.made_by(created))
        app = self.apps.get(self.id)["app"]
        assert app["live_url"].startswith("http"), app
        assert app["active_deployment"]["id"] == self.first["id"], app
        assert len(self.first["services"][0]["source_commit_hash"]) == 40, self.first
        taken = self.apps.validate_app_spec({"spec": self.spec()})
        assert not taken.get("app_name_available"), taken

    def reads_logs(self):
        of_deployment = lambda kind: lambda: self.apps.get_logs(self.id, self.first["id"], "web", type=kind)
        assert "build complete" in self.logs(of_deployment("BUILD")())
        assert "listening" in self.logs(of_deployment("DEPLOY")())
        run = self.await_log(lambda: self.apps.get_logs_active_deployment(self.id, "web", type="RUN"), "listening")
        assert all(line.split(" ", 2)[0] == "web" for line in run.splitlines()), run
        assert "announced" in self.logs(self.apps.get_logs_aggregate(self.id, self.first["id"], type="DEPLOY"))
        # As godo and doctl ask.
        of_web = self.logs(self.apps.get_logs_aggregate(self.id, self.first["id"], type="DEPLOY", params={"component_name": "web"}))
        assert "listening" in of_web and "announced" not in of_web, of_web
        assert "listening" in self.logs(self.apps.get_logs_active_deployment_aggregate(self.id, type="RUN"))
        live = self.apps.get_logs_active_deployment(self.id, "web", type="RUN", follow=True)["live_url"]
        socket = websocket.create_connection(live.replace("http", "ws", 1), timeout=20, sslopt={"ca_certs": self.ca})
        while "listening" not in json.loads(socket.recv())["data"]:
            pass
        socket.close()
        invocations = self.apps.list_job_invocations(self.id, job_names=["announce"])["job_invocations"]
        assert [run["phase"] for run in invocations] == ["SUCCEEDED"], invocations
        one = self.apps.get_job_invocation(self.id, invocations[0]["id"])["job_invocation"]
        assert one["job_name"] == "announce", one
        log = self.apps.get_job_invocation_logs(self.id, "announce", one["id"], type="JOB_INVOCATION")
        assert "announced" in self.logs(log)

    def opens_a_console(self):
        (instance,) = self.apps.get_instances(self.id)["instances"]
        assert (instance["component_name"], instance["component_type"]) == ("web", "SERVICE"), instance
        url = self.apps.get_exec_active_deployment(self.id, "web", instance_name=instance["instance_name"])["url"]
        socket = websocket.create_connection(url, timeout=20, sslopt={"ca_certs": self.ca})
        send = lambda **operation: socket.send(json.dumps(operation))
        send(op="resize", width=100, height=30)
        # The answer is not what was typed: the terminal echoes that.
        send(op="stdin", data="echo sum $((40 + 2)); stty size\n")
        seen = ""
        while "sum 42" not in seen or "30 100" not in seen:
            seen += json.loads(socket.recv())["data"]
        by_deployment = self.apps.get_exec(self.id, self.first["id"], "web")
        assert by_deployment["url"] != url
        other = websocket.create_connection(by_deployment["url"], timeout=20, sslopt={"ca_certs": self.ca})
        other.send(json.dumps({"op": "stdin", "data": "exit\n"}))
        opcode = None
        while opcode != websocket.ABNF.OPCODE_CLOSE:
            opcode, data = other.recv_data()
        # Clients take an end with any other code than 1000 for a fault.
        assert data == b"\x03\xe8", data
        # The instance ends, and its console with it.
        send(op="stdin", data="kill -9 $(cat /tmp/server.pid)\n")
        try:
            while socket.recv():
                pass
        except websocket.WebSocketException:
            pass
        restarted = lambda: self.apps.get_logs_active_deployment(self.id, "web", type="RUN_RESTARTED")
        self.await_log(restarted, "listening")

    def updates(self):
        answer = self.apps.update(self.id, {"spec": self.spec("second")})
        updated = self.await_active(self.made_by(answer))
        assert updated["cause"] == "app spec updated", updated["cause"]
        assert updated["previous_deployment_id"] == self.first["id"]
        reasons = [step.get("reason", {}).get("code") for step in leaves(updated["progress"]["steps"])]
        assert "PreviousBuildReused" in reasons, reasons
        deployment = self.apps.create_deployment(self.id, {"force_build": True})["deployment"]
        self.await_active(deployment["id"])

    def rolls_back(self):
        latest = self.apps.get(self.id)["app"]["active_deployment"]["id"]
        body = {"deployment_id": self.first["id"]}
        assert self.apps.validate_rollback(self.id, body)["valid"] is True
        rollback = self.apps.create_rollback(self.id, body)["deployment"]
        rollback = self.await_active(rollback["id"])
        assert rollback["cloned_from"] == self.first["id"], rollback
        assert rollback["cause_details"]["type"] == "MANUAL_ROLLBACK", rollback["cause_details"]
        assert rollback["spec"]["services"][0]["envs"][0]["value"] == "first", rollback["spec"]
        app = self.apps.get(self.id)["app"]
        assert app["pinned_deployment"]["id"] == rollback["id"], app
        assert app["spec"]["services"][0]["envs"][0]["value"] == "second", app["spec"]
        validation = self.apps.validate_rollback(self.id, {"deployment_id": latest})
        assert not validation["valid"] and validation["error"]["code"] == "app_pinned", validation
        try:
            self.apps.create_deployment(self.id, {})
        except HttpResponseError as error:
            assert error.status_code == 409, error
        else:
            raise AssertionError("a pinned app is deployed")
        revert = self.apps.revert_rollback(self.id)["deployment"]
        revert = self.await_active(revert["id"])
        assert revert["spec"]["services"][0]["envs"][0]["value"] == "second", revert["spec"]
        again = self.apps.create_rollback(self.id, body)["deployment"]
        self.await_active(again["id"])
        self.apps.commit_rollback(self.id)
        app = self.apps.get(self.id)["app"]
        assert "pinned_deployment" not in app, app
        assert app["spec"]["services"][0]["envs"][0]["value"] == "first", app["spec"]

    def looks_around(self):
        health = self.apps.get_health(self.id)["app_health"]["components"]
        assert [(part["name"], part["state"]) for part in health] == [("web", "HEALTHY")], health
        assert health[0]["replicas_desired"] == health[0]["replicas_ready"] == 1, health
        assert 0 < health[0]["memory_usage_percent"] < 100, health
        events = self.apps.list_events(self.id, event_types=["DEPLOYMENT"], per_page=1)
        assert events["meta"]["total"] >= 2, events["meta"]
        event = self.apps.get_event(self.id, events["events"][0]["id"])["event"]
        assert event["deployment"]["id"] == event["deployment_id"], event
        assert "listening" in self.logs(self.apps.get_event_logs(self.id, self.first["id"], type="AUTOSCALE_EVENT"))
        assert self.apps.list_events(self.id, event_types=["AUTOSCALING"])["meta"]["total"] == 0
        (alert,) = self.apps.list_alerts(self.id)["alerts"]
        assert alert["spec"]["rule"] == "DEPLOYMENT_FAILED", alert
        to = {"emails": ["ops@example.com"], "slack_webhooks": []}
        assert self.apps.assign_alert_destinations(self.id, alert["id"], to)["alert"]["emails"] == to["emails"]
        assert self.apps.list_alerts(self.id)["alerts"][0]["emails"] == to["emails"]
        assert self.apps.get_metrics_bandwidth_daily(self.id)["date"]
        assert self.apps.list_metrics_bandwidth_daily({"app_ids": [self.id]})["date"]

    def is_measured(self):
        start = str(int(datetime.datetime.fromisoformat(self.first["created_at"]).timestamp()))
        window = {"app_id": self.id, "start": start, "end": str(int(time.time()) + 3600)}
        asks = (
            self.monitoring.get_app_cpu_percentage_metrics,
            self.monitoring.get_app_memory_percentage_metrics,
            self.monitoring.get_app_restart_count_metrics_yml,
        )
        for ask in asks:
            deadline = time.monotonic() + MEASURED_WITHIN
            # The console has killed it once.
            is_told = lambda result: result and (ask is not asks[-1] or result[0]["values"][-1][1] == "1")
            while not is_told(result := ask(app_component="web", **window)["data"]["result"]):
                assert time.monotonic() < deadline, f"{ask.__name__}: {result}"
                time.sleep(POLL_EVERY)
            (series,) = result
            labels = {"app_component": "web", "app_component_instance": "web-0", "app_uuid": self.id}
            assert series["metric"] == labels, series
            assert all(at >= int(start) and float(value) >= 0 for at, value in series["values"]), series
        assert self.monitoring.get_app_cpu_percentage_metrics(**{**window, "end": start})["data"]["result"] == []

    def fails_on_purpose(self):
        before = self.apps.get(self.id)["app"]["active_deployment"]["id"]
        broken = self.spec("third", run_command="echo these are my last words; exit 3")
        failed = self.wait(self.made_by(self.apps.update(self.id, {"spec": broken})))
        assert failed["phase"] == "ERROR", failed["phase"]
        (leaf,) = [step for step in leaves(failed["progress"]["steps"]) if step["status"] == "ERROR"]
        assert leaf["component_name"] == "web", leaf
        assert "ContainerExitNonZero" in leaf["reason"]["code"], leaf
        assert "3" in leaf["reason"]["message"], leaf
        assert any(step.get("reason") for step in failed["progress"]["summary_steps"]), failed["progress"]
        log = self.apps.get_logs(self.id, failed["id"], "web", type="DEPLOY")
        assert "these are my last words" in self.logs(log)
        self.failed = failed
        self.before_failure = before

    def cancels(self):
        stuck = self.spec("fourth", run_command="sleep 600")
        stuck["services"][0]["health_check"]["failure_threshold"] = 50
        deployment = self.made_by(self.apps.update(self.id, {"spec": stuck}))
        deadline = time.monotonic() + SETTLES_WITHIN
        while self.apps.get_deployment(self.id, deployment)["deployment"]["phase"] != "DEPLOYING":
            assert time.monotonic() < deadline, "it never deploys"
            time.sleep(POLL_EVERY)
        self.apps.cancel_deployment(self.id, deployment)
        assert self.wait(deployment)["phase"] == "CANCELED"
        try:
            self.apps.cancel_deployment(self.id, deployment)
        except HttpResponseError as error:
            assert error.status_code == 400, error
        else:
            raise AssertionError("what has ended can be canceled")

    def restarts(self):
        deployment = self.apps.restart(self.id, {"components": ["web"]})["deployment"]
        found = self.await_active(deployment["id"])
        assert found["cause_details"]["digitalocean_user_action"]["name"] == "RESTART", found["cause_details"]

    def lists_pages(self):
        seen = []
        page = 1
        while True:
            answer = self.apps.list_deployments(self.id, page=page, per_page=2)
            seen += [deployment["id"] for deployment in answer["deployments"]]
            following = answer.get("links", {}).get("pages", {}).get("next")
            assert (following is None) == (len(seen) >= answer["meta"]["total"]), answer["links"]
            if following is None:
                break
            page += 1
        assert len(seen) == len(set(seen)) == answer["meta"]["total"] >= 5, seen
        manual = self.apps.list_deployments(self.id, deployment_types=["MANUAL"])
        assert manual["meta"]["total"] >= 5, manual["meta"]
        pushed = self.apps.list_deployments(self.id, deployment_types=["DEPLOY_ON_PUSH"])
        assert pushed["meta"]["total"] == 0, pushed["meta"]
        assert self.id in [app["id"] for app in self.apps.list(per_page=1)["apps"]]

    def is_told_what_is_wrong(self):
        missing = self.apps.get("00000000-0000-4000-8000-000000000000")
        assert missing["id"] == "not_found" and missing["request_id"], missing
        try:
            self.apps.create({"spec": {"name": "bad-spec", "services": [{"name": "web", "http_port": 0}]}})
        except HttpResponseError as error:
            assert error.status_code == 400 and "services.0" in error.response.text(), error.response.text()
        else:
            raise AssertionError("a bad spec is accepted")

    def deletes(self):
        assert self.apps.delete(self.id)["id"] == self.id
        assert self.apps.get(self.id)["id"] == "not_found"


def leaves(steps):
    for step in steps:
        below = step.get("steps") or []
        yield from leaves(below) if below else [step]


STEPS = [
    Life.creates,
    Life.reads_logs,
    Life.opens_a_console,
    Life.is_measured,
    Life.updates,
    Life.looks_around,
    Life.rolls_back,
    Life.fails_on_purpose,
    Life.cancels,
    Life.restarts,
    Life.lists_pages,
    Life.is_told_what_is_wrong,
    Life.deletes,
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--contract", required=True)
    parser.add_argument("--ca", required=True, help="the authority of the API's certificate, in PEM")
    parser.add_argument("--source", required=True, help="a git repository with the app")
    life = Life(parser.parse_args())
    failed = False
    for step in STEPS:
        began = time.monotonic()
        try:
            step(life)
        except Exception:  # noqa: BLE001: whatever it is, the answers so far are told as well
            traceback.print_exc()
            failed = True
        print(f"{'✘' if failed else '✔'} {step.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        if failed:
            if life.checking.last is not None:
                print(f"the last answer: {life.checking.last.status_code} {life.checking.last.text()[:4000]}")
            break
    for line in sorted(set(life.checking.wrong)):
        print(f"✘ {line}")
    called = life.contract.called
    print(f"{len(called)} of {len(life.contract.names())} operations were called")
    if failed or life.checking.wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
