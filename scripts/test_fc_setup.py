"""deploy/fc/setup against stand-ins of `ossutil` and `aliyun`, which keep an account in a file.

    python -m unittest scripts/test_fc_setup.py        (from the project's root, or `make test-templates`)

The stand-ins know the commands by the vendor's pages about them, so they show that the script is at peace with itself
and with what was read, not that the vendor's tools take every word of it. No network, no account.
"""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import textwrap
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETUP = ROOT / "deploy" / "fc" / "setup"

# Both tools in one program, called by the name of either. The account is a dict of texts.
STAND_IN = textwrap.dedent('''\
    #!{python} -ISE
    import json, pathlib, sys
    tool, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
    folder = pathlib.Path(sys.argv[0]).parent
    state = json.loads((folder / "account").read_text())
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps([tool, *words]) + "\\n")
    options = {{w: words[i + 1] for i, w in enumerate(words[:-1]) if w.startswith("--")}}

    def file(name):
        return pathlib.Path(options[name].removeprefix("file://")).read_text()

    def end(text="", code=0):
        (folder / "account").write_text(json.dumps(state))
        (sys.stderr if code else sys.stdout).write(text)
        sys.exit(code)

    def get(key, absent, shown=lambda text: text):
        end(shown(state[key])) if key in state else end("Error: " + absent, 1)

    def put(key, value, only_if_there=None):
        if only_if_there and only_if_there not in state:
            end("Error: no " + only_if_there, 1)
        state[key] = value
        end()

    if words == state.get("fails"):
        end("Error: AccessDenied", 1)
    verb = " ".join(w for w in words[:2] if not w.startswith(("--", "oss://")))
    if tool == "ossutil":
        match verb:
            case "mb":
                put("bucket", words[1])
            case "api get-bucket-info":
                get("bucket", "Code=NoSuchBucket")
            case "api get-bucket-cors":
                # OSS adds this element when it is not given.
                get("cors", "NoSuchCORSConfiguration", lambda t: t.replace("</CORSRule>", "</CORSRule><ResponseVary>false</ResponseVary>"))
            case "api get-bucket-lifecycle":
                get("lifecycle", "NoSuchLifecycle")
            case "api get-bucket-policy":
                get("policy", "NoSuchBucketPolicy")
            case "api put-bucket-cors":
                put("cors", file("--cors-configuration"), "bucket")
            case "api put-bucket-lifecycle":
                put("lifecycle", file("--lifecycle-configuration"), "bucket")
            case "api put-bucket-policy":
                put("policy", options["--body"], "bucket")
            case "api delete-bucket-policy":
                del state["policy"]
                end()
    match verb:
        case "ram GetRole":
            get("role", "EntityNotExist.Role", lambda t: json.dumps({{"Role": {{"AssumeRolePolicyDocument": t}}}}))
        case "ram CreateRole":
            put("role", options["--AssumeRolePolicyDocument"])
        case "ram UpdateRole":
            put("role", options["--NewAssumeRolePolicyDocument"], "role")
        case "ram GetPolicy":
            shown = lambda t: json.dumps({{"DefaultPolicyVersion": {{"PolicyDocument": t}}}})
            get("ram-policy", "EntityNotExist.Policy", shown)
        case "ram CreatePolicy" | "ram CreatePolicyVersion":
            put("ram-policy", options["--PolicyDocument"])
        case "ram ListPoliciesForRole":
            listed = [{{"PolicyType": "Custom", "PolicyName": state["attached"]}}] if "attached" in state else []
            end(json.dumps({{"Policies": {{"Policy": listed}}}}))
        case "ram AttachPolicyToRole":
            put("attached", options["--PolicyName"], "role")
        case "sls get-project":
            get("project", "ProjectNotExist")
        case "sls create-project":
            put("project", options["--project-name"])
        case "sls get-log-store":
            shown = lambda t: json.dumps({{"ttl": int(t), "shardCount": 2, "autoSplit": True, "mode": "query"}})
            get("ttl", "LogStoreNotExist", shown)
        case "sls create-log-store" | "sls update-log-store":
            put("ttl", options["--ttl"], "project")
        case "sls get-index":
            get("index", "IndexConfigNotExist")
        case "sls create-index":
            put("index", options["--line"], "ttl")
    end("the stand-in does not know: " + " ".join([tool, *words]), 1)
    ''')


class Account(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for tool in ("ossutil", "aliyun"):
            (self.folder / tool).write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
            (self.folder / tool).chmod(0o755)
        self.state({})

    def state(self, new=None):
        """Contents of the account; with `new`, replaces them."""
        file = self.folder / "account"
        if new is not None:
            file.write_text(json.dumps(new))
            (self.folder / "calls").write_text("")
        return json.loads(file.read_text())

    def calls(self):
        lines = (self.folder / "calls").read_text().splitlines()
        (self.folder / "calls").write_text("")
        return [json.loads(line) for line in lines]

    def setup(self, *options, expected=0, **variables):
        environment = {
            "PATH": f"{self.folder}:{os.defpath}",
            "ALIYUN_ACCOUNT_ID": "1234567890123456",
            "OSS_BUCKET": "my-chat",
            **variables,
        }
        environment = {name: value for name, value in environment.items() if value is not None}
        command = [sys.executable, "-IS", str(SETUP), *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def changes(self):
        """The calls that were not only looks."""
        looks = ("get-", "Get", "List")
        return [call for call in self.calls() if not any(word.startswith(looks) for word in call[1:3])]

    def test_empty_account_gets_everything(self):
        self.setup()
        state = self.state()
        self.assertEqual(
            (state["bucket"], state["attached"], state["project"], state["ttl"]),
            ("oss://my-chat-prod", "chat-upload-prod", "chat-upload-prod-1234567890123456", "30"),
        )
        self.assertIn("acs:oss:*:*:my-chat-prod/pending/*", state["ram-policy"])
        self.assertIn("acs:oss:*:1234567890123456:my-chat-prod/images/*", state["policy"])
        self.assertNotIn("YOUR_", "".join(state.values()))

    def test_second_run_changes_nothing(self):
        self.setup()
        before = self.state()
        self.calls()
        self.assertIn("0 changes made", self.setup())
        self.assertEqual((self.changes(), self.state()), ([], before))

    def test_dry_run_prints_the_commands_and_runs_none_of_them(self):
        output = self.setup("--dry-run")
        self.assertEqual((self.changes(), self.state()), ([], {}))
        printed = [shlex.split(line) for line in output.splitlines() if not line.startswith("#")]
        self.setup()
        self.assertEqual(printed, self.changes())

    def test_only_what_differs_is_changed(self):
        self.setup()
        cases = {
            "cors": ("<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>", "put-bucket-cors"),
            "lifecycle": ("<LifecycleConfiguration/>", "put-bucket-lifecycle"),
            "policy": ('{"Version": "1", "Statement": []}', "put-bucket-policy"),
            "role": ('{"Version": "1", "Statement": []}', "UpdateRole"),
            "ram-policy": ('{"Version": "1", "Statement": []}', "CreatePolicyVersion"),
            "ttl": ("7", "update-log-store"),
        }
        good = self.state()
        for key, (value, verb) in cases.items():
            with self.subTest(key):
                self.state({**good, key: value})
                self.setup()
                self.assertEqual([call[2] for call in self.changes()], [verb])
                self.assertNotEqual(self.state()[key], value)

    def test_only_what_is_missing_is_made(self):
        self.setup()
        good = self.state()
        for key in ("attached", "index", "policy", "cors"):
            with self.subTest(key):
                self.state({name: value for name, value in good.items() if name != key})
                self.setup()
                self.assertEqual(len(self.changes()), 1)
                self.assertEqual(self.state().keys(), good.keys())

    def test_policies_in_another_order_are_the_same(self):
        self.setup()
        state = self.state()
        policy = json.loads(state["ram-policy"])
        policy["Statement"].reverse()
        policy["Statement"][-1]["Action"].reverse()
        self.state({**state, "ram-policy": json.dumps(policy, indent=2)})
        self.setup()
        self.assertEqual(self.changes(), [])

    def test_an_update_of_the_log_store_keeps_its_other_settings(self):
        self.setup()
        self.calls()
        self.setup("--log-days", "90")
        (call,) = self.changes()
        self.assertIn("--ttl 90 --shard-count 2 --auto-split true --mode query", " ".join(call))

    def test_private_reads_leave_nothing_public(self):
        for options, variables in (([], {"UPLOAD_READ": "signed"}), (["--private"], {})):
            with self.subTest(options):
                self.state({})
                self.setup()
                self.assertIn("policy", self.state())
                self.setup(*options, **variables)
                self.assertNotIn("policy", self.state())
                self.calls()
                self.setup(*options, **variables)
                self.assertEqual(self.changes(), [])

    def test_a_policy_of_somebody_else_stays_with_private_reads(self):
        self.setup()
        self.state({**self.state(), "policy": '{"Version": "1", "Statement": [{"Effect": "Deny"}]}'})
        self.setup("--private")
        self.assertEqual(self.changes(), [])

    def test_stages_share_no_name(self):
        self.setup()
        prod = self.state()
        self.state({})
        self.setup(STAGE="staging")
        staging = self.state()
        for key in ("bucket", "attached", "project", "policy", "ram-policy"):
            self.assertNotEqual(prod[key], staging[key])
            self.assertNotIn("prod", staging[key])

    def test_a_failure_stops_the_run_with_the_tools_text(self):
        looks = ["api", "get-bucket-info", "--bucket", "my-chat-prod", "--region", "cn-hangzhou"]
        self.state({"fails": looks})
        output = self.setup(expected=1)
        self.assertIn("AccessDenied", output)
        self.assertEqual(self.calls(), [["ossutil", *looks]])

    def test_bad_variables_are_named_before_anything_is_called(self):
        cases = (
            ({"ALIYUN_ACCOUNT_ID": None, "OSS_BUCKET": None}, "ALIYUN_ACCOUNT_ID and OSS_BUCKET must be set"),
            ({"ALIYUN_ACCOUNT_ID": "me"}, "ALIYUN_ACCOUNT_ID makes 'me', expected digits"),
            ({"STAGE": "Prod"}, "STAGE makes 'Prod'"),
            ({"OSS_BUCKET": "my_chat"}, "OSS_BUCKET makes 'my_chat-prod'"),
            ({"OSS_BUCKET": "x" * 60}, "3 to 63"),
        )
        for variables, expected in cases:
            with self.subTest(variables):
                self.assertIn(expected, self.setup(expected=1, **variables))
                self.assertEqual(self.calls(), [])

    def test_an_absent_tool_is_named(self):
        (self.folder / "ossutil").unlink()
        self.assertIn("ossutil must be installed", self.setup(expected=1))


if __name__ == "__main__":
    unittest.main()
