"""Breaks copies of the templates, one fault at a time; scripts/check-templates has to find each.

    python -m unittest scripts/test_check_templates.py        (from the project's root, or `make test-templates`)

A check that finds nothing in good files proves little; these tests are what it is worth. They only copy and read
files.
"""

import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHECK = ROOT / "scripts" / "check-templates"


class Copy:
    """The deployment files in a temporary folder, to be broken and checked."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        for name in ("template.yaml", "s.yaml"):
            shutil.copy(ROOT / name, self.root / name)
        shutil.copytree(ROOT / "deploy", self.root / "deploy")
        (self.root / "docs").mkdir()
        for page in (*ROOT.glob("docs/deploy-*.md"), *ROOT.glob("docs/upgrade*.md")):
            shutil.copy(page, self.root / "docs")

    def replace(self, name, old, new):
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise AssertionError(f"{name} no longer holds {old!r}; the test must follow it")
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def check(self, only, *options):
        command = [sys.executable, str(CHECK), "--root", str(self.root), "--only", only, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


class TemplateCase(unittest.TestCase):
    cloud = ""

    def assert_refused(self, name, old, new, expected, options=("--own-rules",)):
        """Replaces `old` by `new`; the check has to fail with `expected` in its output."""
        files = Copy()
        self.addCleanup(files.folder.cleanup)
        files.replace(name, old, new)
        code, output = files.check(self.cloud, *options)
        self.assertEqual(code, 1, output)
        self.assertIn(expected, output)

    def assert_unbroken_passes(self):
        files = Copy()
        self.addCleanup(files.folder.cleanup)
        code, output = files.check(self.cloud)
        self.assertEqual((code, output.strip().endswith(": no faults")), (0, True), output)


class SamTemplate(TemplateCase):
    cloud = "sam"

    def broken(self, old, new, expected):
        self.assert_refused("template.yaml", old, new, expected)

    def broken_for_cfn_lint(self, old, new, expected):
        self.assert_refused("template.yaml", old, new, expected, options=())

    def test_unbroken_template_passes(self):
        self.assert_unbroken_passes()

    def test_wrong_runtime_is_found(self):
        self.broken_for_cfn_lint("Runtime: provided.al2023", "Runtime: rust1.x", "E3030 'rust1.x'")

    def test_older_runtime_is_found(self):
        self.broken("Runtime: provided.al2023", "Runtime: provided.al2", "Runtime must be provided.al2023")

    def test_riscv_architecture_is_found(self):
        self.broken_for_cfn_lint("Architectures: [!Ref Architecture]", "Architectures: [riscv]", "E3030 'riscv'")

    def test_riscv_among_allowed_architectures_is_found(self):
        self.broken_for_cfn_lint("AllowedValues: [arm64, x86_64]", "AllowedValues: [arm64, riscv]", "W1030")

    def test_dangling_ref_is_found(self):
        self.broken_for_cfn_lint("MemorySize: !Ref MemorySize", "MemorySize: !Ref MemorySise", "'MemorySise'")

    def test_dangling_getatt_is_found(self):
        self.broken_for_cfn_lint("Role: !GetAtt UploadRole.Arn", "Role: !GetAtt UploadRoll.Arn", "UploadRoll")

    def test_unknown_property_is_found(self):
        self.broken_for_cfn_lint("      Timeout: 29", "      Timeoutt: 29", "Timeoutt")

    def test_default_timeout_is_found(self):
        self.broken("      Timeout: 29\n", "", "Timeout is None")

    def test_timeout_beyond_the_gateways_is_found(self):
        self.broken("Timeout: 29", "Timeout: 60", "Timeout is 60")

    def test_missing_binary_media_types_are_found(self):
        self.broken('      BinaryMediaTypes: [multipart~1form-data, "*~1*"]\n', "", "lacks multipart~1form-data")

    def test_binary_media_types_without_multipart_are_found(self):
        self.broken("[multipart~1form-data, ", "[image~1png, ", "lacks multipart~1form-data")

    def test_sam_write_policy_is_found(self):
        policy = "      Policies: [{S3WritePolicy: {BucketName: !Ref UploadBucket}}]\n      Handler: bootstrap"
        self.broken("      Handler: bootstrap", policy, "Policies would widen")

    def test_grant_on_whole_bucket_is_found(self):
        self.broken("- !Sub ${UploadBucket.Arn}/images/*", "- !Sub ${UploadBucket.Arn}/*", "granted on '*'")

    def test_wildcard_action_is_found(self):
        self.broken("Action: s3:ListMultipartUploadParts", "Action: s3:*", "action s3:* has a wildcard")

    def test_missing_abort_permission_is_found(self):
        self.broken(", s3:AbortMultipartUpload]", "]", "s3:AbortMultipartUpload on 'images/*' is missing")

    def test_listing_of_the_whole_bucket_is_found(self):
        condition = "                Condition: {StringLike: {s3:prefix: [images/*, pending/*]}}\n"
        self.broken(condition, "", "s3:ListBucket without a condition on the prefix")

    def test_listing_by_a_prefix_that_matches_everything_is_found(self):
        self.broken("s3:prefix: [images/*, ", 's3:prefix: ["*", ', "s3:ListBucket lists '*'")

    def test_listing_without_pending_is_found(self):
        self.broken("s3:prefix: [images/*, pending/*]", "s3:prefix: images/*", "does not list 'pending/*'")

    def test_missing_listing_is_found(self):
        self.broken("Action: s3:ListBucket\n", "Action: s3:GetObject\n", "s3:ListBucket on '${UploadBucket.Arn}' is missing")

    def test_missing_permission_to_list_parts_is_found(self):
        self.broken("s3:ListMultipartUploadParts", "s3:GetObject", "s3:ListMultipartUploadParts on 'pending/*' is missing")

    def test_missing_permission_on_pending_is_found(self):
        self.broken(
            "Action: s3:GetObject\n                Resource:\n                  - !Sub ${UploadBucket.Arn}/images/*\n"
            "                  - !Sub ${UploadBucket.Arn}/public/uploads/*\n"
            "                  - !Sub ${UploadBucket.Arn}/pending/*\n",
            "Action: s3:GetObject\n                Resource:\n                  - !Sub ${UploadBucket.Arn}/images/*\n"
            "                  - !Sub ${UploadBucket.Arn}/public/uploads/*\n",
            "s3:GetObject on 'pending/*' is missing",
        )

    def test_bucket_cors_without_put_is_found(self):
        self.broken("AllowedMethods: [POST, PUT, GET", "AllowedMethods: [POST, GET", "CORS must allow POST (forms) and PUT")

    def test_bucket_cors_that_hides_the_etag_is_found(self):
        self.broken("ExposedHeaders: [ETag, Location]", "ExposedHeaders: [Location]", "CORS must expose ETag")

    def test_bucket_cors_for_other_origins_is_found(self):
        self.broken("AllowedOrigins: !Ref CorsOrigins", 'AllowedOrigins: ["*"]', "must have the function's origins")

    def test_parameter_that_shows_the_signing_secret_is_found(self):
        self.broken(
            '  SigningSecret:\n    Type: String\n    NoEcho: true\n',
            '  SigningSecret:\n    Type: String\n',
            "parameter SigningSecret must be NoEcho",
        )

    def test_missing_lifecycle_rule_for_pending_is_found(self):
        rule = (
            "          - Id: expire-pending\n            Status: Enabled\n            Prefix: pending/\n"
            "            ExpirationInDays: 1\n"
        )
        self.broken(rule, "", "no lifecycle rule expires pending/")

    def test_lifecycle_rule_that_expires_everything_is_found(self):
        self.broken("            Prefix: pending/\n", "", "would delete finished files")

    def test_disabled_lifecycle_rule_is_found(self):
        self.broken(
            "Id: abort-incomplete-uploads\n            Status: Enabled",
            "Id: abort-incomplete-uploads\n            Status: Disabled",
            "no lifecycle rule aborts unfinished",
        )

    def test_public_bucket_is_found(self):
        self.broken("BlockPublicPolicy: true", "BlockPublicPolicy: false", "BlockPublicPolicy must be true")

    def test_unknown_variable_is_found(self):
        self.broken("UPLOAD_GUESTS: !Ref Guests", "UPLOAD_GUEST: !Ref Guests", "UPLOAD_GUEST is none")

    def test_unquoted_number_in_environment_is_found(self):
        self.broken('UPLOAD_MAX_BYTES: "4613734"', "UPLOAD_MAX_BYTES: 4613734", "must be a text")

    def test_file_limit_above_lambdas_is_found(self):
        self.broken('"4613734"', '"52428800"', "is not below the 4718592 bytes")

    def test_log_group_without_retention_is_found(self):
        self.broken("      RetentionInDays: !Ref LogRetentionDays\n", "", "no RetentionInDays")

    def test_missing_throttles_alarm_is_found(self):
        self.broken("MetricName: Throttles", "MetricName: Invocations", "no alarm on Throttles")

    def test_key_that_stands_twice_is_found(self):
        self.broken("      Timeout: 29", "      Timeout: 29\n      Timeout: 28", "Timeout")


    def test_rule_that_is_gone_is_found(self):
        self.broken(
            '          - !Equals [!Ref AllowOpenUploads, "yes"]\n',
            '          - !Equals [!Ref AllowOpenUploads, "no"]\n',
            "no parameter is not refused by a rule SomebodyDecidedWhoMayUpload",
        )

    def test_rule_that_refuses_too_much_is_found(self):
        self.broken(
            '          - !Not [!Equals [!Ref JwtSecretVersion, ""]]\n',
            '          - !Equals [!Ref JwtSecretVersion, "x"]\n',
            "JwtSecretVersion=v is refused by SecretsOfSecretsManagerHaveAVersion",
        )

    def test_signed_reads_without_a_rule_about_their_secret_are_found(self):
        self.broken(
            '          - !Equals [!Ref PrivateReads, "no"]\n',
            "          - !Equals [a, a]\n",
            "PrivateReads=yes is not refused by a rule SignedReadsHaveTheirOwnSecret",
        )

    def test_dynamic_reference_without_version_is_found(self):
        self.broken(":SecretString:::${JwtSecretVersion}}}", ":SecretString}}", "names no version from a parameter")

    def test_dynamic_reference_to_a_stage_is_found(self):
        self.broken("SecretString:::${SigningSecretVersion}", "SecretString::AWSCURRENT:", "names no version from a parameter")

    def test_dynamic_reference_to_the_version_of_another_secret_is_found(self):
        self.broken(":::${SigningSecretVersion}", ":::${JwtSecretVersion}", "names no version from a parameter")

    def test_public_reads_in_private_mode_are_found(self):
        self.broken("UPLOAD_READ: !If [UsePrivateReads, signed, !Ref AWS::NoValue]", "UPLOAD_READ: public", "UPLOAD_READ must be signed")

    def test_cloudfront_in_private_mode_is_found(self):
        self.broken(", !Not [!Condition UsePrivateReads]]", ", !Equals [a, a]]", "CloudFront has 3 resources")

    def test_cloudfront_missing_in_public_mode_is_found(self):
        self.broken('!Equals [!Ref CloudFront, "yes"], !Not', '!Equals [!Ref CloudFront, "no"], !Not', "CloudFront has 0 resources")

    def test_public_url_in_private_mode_is_found(self):
        self.broken(
            '!If [UseCloudFront, !Sub "https://${FilesDistribution.DomainName}", !Ref AWS::NoValue]',
            "https://files.example",
            "UPLOAD_PUBLIC_URL must be unset",
        )

    def test_bucket_cors_that_refuses_redirected_pages_is_found(self):
        self.broken('{AllowedOrigins: ["*"]', "{AllowedOrigins: [https://a.example]", "the bucket's CORS must let * read")

    def test_bucket_cors_open_to_everybody_in_public_mode_is_found(self):
        self.broken(
            "            - UsePrivateReads\n            - {AllowedOrigins",
            "            - UseHttpApi\n            - {AllowedOrigins",
            "the bucket's CORS must let * read",
        )

    def test_alarm_that_a_single_failure_raises_is_found(self):
        self.broken("ComparisonOperator: GreaterThanThreshold", "ComparisonOperator: GreaterThanOrEqualToThreshold", "a single failure")

    def test_alarm_without_stage_is_found(self):
        self.broken("${Stage}: callers got", "callers got", "does not say which stage")

    def test_missing_metric_is_found(self):
        self.broken("MetricName: Failures", "MetricName: Failure", "no metric Failures")

    def test_metric_of_a_field_no_line_has_is_found(self):
        self.broken("MetricValue: $.store_ms", "MetricValue: $.storeMs", "reads 'storeMs'")

    def test_metric_dimension_of_a_field_no_line_has_is_found(self):
        self.broken("Value: $.code}", "Value: $.kode}", "reads 'kode'")

    def test_metric_of_all_lines_is_found(self):
        self.broken("'{ $.message = \"request\" && $.code", "'{ $.code", "counts other lines")

    def test_http_api_without_access_log_is_found(self):
        self.broken("        Format: >-\n", "        Formats: >-\n", "no access log")

    def test_access_log_with_paths_is_found(self):
        self.broken('"method":"$context.httpMethod"', '"path":"$context.path"', "would hold secrets through $context.path")

    def test_access_log_that_is_not_json_is_found(self):
        self.broken('"bytes":"$context.responseLength"', '"bytes":$context.responseLength', "would not be JSON")

    def test_access_log_without_request_id_is_found(self):
        self.broken('{"requestId":"$context.requestId",', "{", "lacks requestId")

    def page_broken(self, old, new, expected):
        self.assert_refused("docs/deploy-lambda.md", old, new, expected)

    def test_guided_deployment_on_a_page_is_found(self):
        self.page_broken("sam deploy --parameter", "sam deploy --guided --parameter", "--guided asks for hidden parameters")

    def test_guided_deployment_in_a_workflow_is_found(self):
        workflow = "deploy/github-actions/deploy-lambda.yml"
        self.assert_refused(workflow, "sam deploy --no", "sam deploy --guided --no", "--guided asks for hidden parameters")

    def test_unknown_parameter_on_a_page_is_found(self):
        self.page_broken('"JwtSecret=', '"JwtSecrets=', "gives JwtSecrets, which is no parameter")

    def test_parameter_that_a_page_does_not_give_is_found(self):
        self.broken('    Default: ""\n    Description: HS256', "    Description: HS256", "does not give JwtSecret, which has no default")

    def test_page_whose_first_deployment_is_refused_is_found(self):
        self.page_broken('"JwtSecret=$UPLOAD_JWT_SECRET"', '"Stage=prod"', "the first sam deploy is refused by SomebodyDecided")

    def test_page_without_deployment_is_found(self):
        workflow = "deploy/github-actions/deploy-lambda.yml"
        self.assert_refused(workflow, "sam deploy", "sam package", "no sam deploy command")

    def test_languages_with_different_commands_are_found(self):
        self.page_broken('curl "${ENDPOINT%/}/healthz"', 'curl "$ENDPOINT/healthz"', "has the command 'curl \"$ENDPOINT/healthz\"'")

    def test_language_with_a_command_more_is_found(self):
        self.page_broken("sam delete --stack-name chat-upload\n", "", "where deploy-lambda.zh-CN.md has 'sam delete")


class ServerlessDevsTemplate(TemplateCase):
    cloud = "fc"

    def broken(self, old, new, expected):
        self.assert_refused("s.yaml", old, new, expected)

    def test_unbroken_template_passes(self):
        self.assert_unbroken_passes()

    def test_wrong_runtime_is_found(self):
        self.broken("runtime: custom.debian12", "runtime: custom.debian13", "'custom.debian13' is not one of")

    def test_runtime_with_old_glibc_is_found(self):
        self.broken("runtime: custom.debian12", "runtime: custom.debian10", "is not custom.debian12")

    def test_missing_options_is_found(self):
        self.broken("DELETE, OPTIONS]", "DELETE]", "methods lacks OPTIONS")

    def test_missing_delete_is_found(self):
        self.broken("DELETE, OPTIONS]", "OPTIONS]", "methods lacks DELETE")

    def test_unknown_method_is_found(self):
        self.broken("methods: [GET,", "methods: [FOO, GET,", "'FOO' is not one of")

    def test_unquoted_number_in_environment_is_found(self):
        self.broken('UPLOAD_MAX_BYTES: "33030144"', "UPLOAD_MAX_BYTES: 33030144", "33030144 is not of type 'string'")

    def test_unquoted_boolean_in_environment_is_found(self):
        self.broken("UPLOAD_GUESTS: allow", "UPLOAD_PATH_STYLE: true", "True is not of type 'string'")

    def test_misspelt_key_in_trigger_config_is_found(self):
        self.broken("authType: anonymous", "authTyp: anonymous", "'authTyp' was unexpected")

    def test_misspelt_optional_key_in_trigger_config_is_found(self):
        self.broken("disableURLInternet:", "disableUrlInternet:", "'disableUrlInternet' was unexpected")

    def test_signed_trigger_is_found(self):
        self.broken("authType: anonymous", "authType: function", "authType must be anonymous")

    def test_unknown_property_is_found(self):
        self.broken("      memorySize: 512", "      memorySizes: 512", "'memorySizes' was unexpected")

    def test_unknown_nested_property_is_found(self):
        self.broken("        command:", "        comand:", "'comand' was unexpected")

    def test_unknown_key_of_the_file_is_found(self):
        self.broken("access: default", "acces: default", "unknown key 'acces'")

    def test_health_check_out_of_range_is_found(self):
        self.broken("timeoutSeconds: 1", "timeoutSeconds: 10", "timeoutSeconds 10 is not within 1 to 3")

    def test_misspelt_health_check_key_is_found(self):
        self.broken("failureThreshold:", "failThreshold:", "'failThreshold' was unexpected")

    def test_default_timeout_is_found(self):
        self.broken("timeout: 120", "timeout: 3", "timeout is 3 s")

    def test_absent_timeout_is_found(self):
        self.broken("      timeout: 120\n", "", "timeout is 3 s")

    def test_memory_off_the_grid_is_found(self):
        self.broken("memorySize: 512", "memorySize: 500", "500 is not a multiple of 64")

    def test_memory_too_small_for_the_concurrency_is_found(self):
        self.broken("instanceConcurrency: 20", "instanceConcurrency: 100", "need more than 512 MB")

    def test_disk_size_fc_does_not_have_is_found(self):
        self.broken("diskSize: 512", "diskSize: 1024", "1024 is not one of")

    def test_other_port_is_found(self):
        self.broken("port: 9000", "port: 8080", "is not 9000")

    def test_unknown_region_is_found(self):
        self.broken("'cn-hangzhou')}", "'cn-hangzou')}", "'cn-hangzou' is not one of")

    def test_dangling_variable_is_found(self):
        self.broken("region: ${vars.region}", "region: ${vars.regio}", "${vars.regio} names nothing")

    def test_unknown_variable_is_found(self):
        self.broken("UPLOAD_GUESTS:", "UPLOAD_GUEST:", "UPLOAD_GUEST is none")

    def test_bucket_of_the_other_cloud_is_found(self):
        self.broken("UPLOAD_STORE: oss://", "UPLOAD_STORE: s3://", "must begin with")

    def test_missing_role_is_found(self):
        self.broken("role: acs", "description: acs", "stands twice")

    def test_function_without_bound_on_instances_is_found(self):
        self.broken("      concurrencyConfig:\n        reservedConcurrency: 10\n", "", "no reservedConcurrency")

    def test_misspelt_bound_on_instances_is_found(self):
        self.broken("reservedConcurrency: 10", "reservedConcurency: 10", "'reservedConcurency' was unexpected")

    def test_bound_of_no_instances_is_found(self):
        self.broken("reservedConcurrency: 10", "reservedConcurrency: 0", "no reservedConcurrency")

    def test_log_with_a_retention_of_the_vendor_is_found(self):
        self.broken("      logConfig:\n", "      logConfig: auto\n      x-was:\n", "logConfig: auto keeps lines")

    def test_function_that_two_stages_share_is_found(self):
        self.broken("functionName: chat-upload-${vars.stage}", "functionName: chat-upload", "two stages would both be")

    def test_bucket_that_two_stages_share_is_found(self):
        self.broken("}-${vars.stage}\n        UPLOAD_REGION", "}-prod\n        UPLOAD_REGION", "deploy/fc/setup makes 'oss://my-chat-staging'")

    def test_role_that_setup_does_not_make_is_found(self):
        self.broken("role/chat-upload-${vars.stage}", "role/upload-${vars.stage}", "role/chat-upload-prod'")

    def test_log_project_that_setup_does_not_make_is_found(self):
        self.assert_refused("deploy/fc/setup", 'f"chat-upload-{stage}-{self.account}"', 'f"logs-{stage}"', "makes 'logs-prod'")

    def test_mode_of_reading_that_cannot_be_chosen_is_found(self):
        self.broken("        UPLOAD_READ: ${env('UPLOAD_READ', '')}\n", "", "no UPLOAD_READ")

    def test_languages_with_different_commands_are_found(self):
        self.assert_refused("docs/deploy-fc.md", "deploy/fc/setup --dry-run", "deploy/fc/setup -n", "has the command")

    def test_absent_language_of_a_page_is_found(self):
        files = Copy()
        self.addCleanup(files.folder.cleanup)
        (files.root / "docs" / "upgrade.zh-CN.md").unlink()
        code, output = files.check("fc")
        self.assertEqual(code, 1, output)
        self.assertIn("there is no such page beside upgrade.md", output)

    def test_missing_build_step_is_found(self):
        self.broken("make package-fc", "true", "no pre-deploy step builds")

    def test_ram_policy_on_whole_bucket_is_found(self):
        self.assert_refused("deploy/fc/ram-policy.json", "YOUR_BUCKET/images/*", "YOUR_BUCKET/*", "granted on '*'")

    def test_ram_policy_that_lists_the_whole_bucket_is_found(self):
        self.assert_refused(
            "deploy/fc/ram-policy.json",
            ',\n      "Condition": { "StringLike": { "oss:Prefix": ["images/*", "pending/*"] } }',
            "",
            "oss:ListObjects without a condition on the prefix",
        )

    def test_ram_policy_that_lists_other_folders_is_found(self):
        self.assert_refused(
            "deploy/fc/ram-policy.json",
            '"oss:Prefix": ["images/*"',
            '"oss:Prefix": ["public/*"',
            "oss:ListObjects lists 'public/*'",
        )

    def test_ram_policy_without_pending_is_found(self):
        self.assert_refused(
            "deploy/fc/ram-policy.json",
            '/public/uploads/*",\n        "acs:oss:*:*:YOUR_BUCKET/pending/*"',
            '/public/uploads/*"',
            "oss:PutObject on 'pending/*' is missing",
        )

    def test_public_pending_folder_is_found(self):
        self.assert_refused("deploy/fc/oss-bucket-policy.json", "/images/*", "/pending/*", "must not be public")

    def test_missing_lifecycle_rule_for_pending_is_found(self):
        self.assert_refused(
            "deploy/fc/oss-lifecycle.xml", "<Prefix>pending/</Prefix>", "<Prefix>pendin/</Prefix>", "under pending/"
        )

    def test_lifecycle_rule_that_keeps_unfinished_parts_of_pending_is_found(self):
        self.assert_refused(
            "deploy/fc/oss-lifecycle.xml",
            "    </Expiration>\n    <AbortMultipartUpload>\n      <Days>1</Days>\n    </AbortMultipartUpload>\n",
            "    </Expiration>\n",
            "no rule aborts unfinished uploads under pending/",
        )

    def test_lifecycle_rule_that_keeps_pending_is_found(self):
        self.assert_refused(
            "deploy/fc/oss-lifecycle.xml",
            "    <Expiration>\n      <Days>1</Days>\n    </Expiration>\n",
            "",
            "no rule expires pending/",
        )

    def test_bucket_cors_that_hides_the_etag_is_found(self):
        self.assert_refused(
            "deploy/fc/oss-cors.xml", "<ExposeHeader>ETag</ExposeHeader>", "", "CORS must expose ETag"
        )

    def test_missing_post_in_bucket_cors_is_found(self):
        self.assert_refused(
            "deploy/fc/oss-cors.xml", "<AllowedMethod>POST</AllowedMethod>", "", "must allow POST (forms)"
        )


class Packaging(unittest.TestCase):
    """Tests scripts/package with the running Python as the binary."""

    def package(self, *arguments):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.zip = pathlib.Path(folder.name) / "out.zip"
        binary = str(pathlib.Path(sys.executable).resolve())
        command = [sys.executable, str(ROOT / "scripts" / "package"), binary, "--zip", str(self.zip), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def arch(self):
        return {"aarch64": "arm64"}.get(platform.machine(), platform.machine())

    def test_binary_that_wants_a_newer_glibc_is_refused(self):
        code, output = self.package("--arch", self.arch(), "--max-glibc", "2.1")
        self.assertEqual((code, self.zip.exists()), (1, False), output)
        self.assertIn("the runtime has 2.1", output)

    def test_binary_for_another_processor_is_refused(self):
        other = {"arm64": "x86_64", "x86_64": "arm64"}[self.arch()]
        code, output = self.package("--arch", other, "--max-glibc", "9.9")
        self.assertEqual((code, self.zip.exists()), (1, False), output)

    def test_zip_holds_bootstrap_at_its_root_with_run_bit(self):
        code, output = self.package("--arch", self.arch(), "--max-glibc", "9.9")
        self.assertEqual(code, 0, output)
        (entry,) = zipfile.ZipFile(self.zip).infolist()
        self.assertEqual((entry.filename, entry.external_attr >> 16 & 0o777), ("bootstrap", 0o755))


if __name__ == "__main__":
    unittest.main()
