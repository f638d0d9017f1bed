//! Variables of a bucket: its location and credentials.

use super::vars::{Vars, base_url, size};
use crate::{
    runtime::Runtime,
    store::{
        Authorization, ContainerEndpoint, Credentials, CredentialsProvider,
        bucket::{self, Certificates, Dialect, Timeouts},
    },
};

impl Vars {
    pub(super) fn bucket(
        &mut self,
        runtime: Runtime,
        dialect: Dialect,
        bucket: String,
    ) -> bucket::Settings {
        let a_url = "a URL of scheme and host such as https://s3.example.com";
        let given_endpoint = self.read("UPLOAD_ENDPOINT", a_url, None, |text| {
            base_url(text).map(Some)
        });
        let region = self.region(given_endpoint.is_some());
        let on_fc = runtime == Runtime::FunctionCompute;
        let endpoint = given_endpoint.or_else(|| match dialect {
            Dialect::S3 => None,
            Dialect::Oss => Some(bucket::oss_endpoint(&region, on_fc)),
        });
        let problems_before = self.problems.len();
        let credentials = self.credentials(dialect);
        // On FC each request carries credentials.
        let per_request = on_fc && dialect == Dialect::Oss;
        if credentials.is_none() && self.problems.len() == problems_before && !per_request {
            let [id, secret, _] = match dialect {
                Dialect::S3 => AWS_KEYS,
                Dialect::Oss => ALIYUN_KEYS,
            };
            let expected = format!("credentials for the bucket, with {secret}");
            self.refuse(id, None, expected);
        }
        let path_style = self.parse("UPLOAD_PATH_STYLE", "true or false", false);
        let a_file = "a file of certificates in PEM";
        let min_memory = "a size of 16MiB or more";
        let memory = self.memory_for_parts();
        bucket::Settings {
            dialect,
            bucket,
            region,
            endpoint,
            path_style,
            certificates: self.read("SSL_CERT_FILE", a_file, Certificates::default(), |path| {
                Certificates::from_file(path.as_ref())
            }),
            credentials,
            timeouts: Timeouts::default(),
            one_copy_bytes: bucket::ONE_COPY_BYTES,
            memory_bytes: self.read("UPLOAD_MEMORY_BYTES", min_memory, memory, |text| {
                let bytes = usize::try_from(size(text)?).ok();
                bytes.filter(|bytes| *bytes >= MIN_MEMORY)
            }),
            cache_control: self.cache_control(),
        }
    }

    /// A quarter of the function's memory; everything else takes about 1 MiB for each concurrent
    /// upload.
    fn memory_for_parts(&self) -> usize {
        const DEFAULT: usize = 1 << 30;
        let sizes = ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "FC_FUNCTION_MEMORY_SIZE"];
        let megabytes: Option<usize> = self.first_of(&sizes).and_then(|size| size.parse().ok());
        megabytes.map_or(DEFAULT, |size| MIN_MEMORY.max((size << 20) / 4))
    }

    fn region(&mut self, own_endpoint: bool) -> String {
        let value = self.first_of(&["UPLOAD_REGION", "AWS_REGION", "FC_REGION"]);
        let region = value.as_deref();
        match region.map(|region| region.strip_prefix("oss-").unwrap_or(region)) {
            Some(region) if is_host_label(region) => region.to_owned(),
            // A self-hosted server has no regions; all of them accept this one.
            None if own_endpoint => "us-east-1".to_owned(),
            _ => {
                let expected = "the bucket's region such as cn-hangzhou";
                self.refuse("UPLOAD_REGION", value, expected);
                String::new()
            }
        }
    }

    fn credentials(&mut self, dialect: Dialect) -> Option<CredentialsProvider> {
        let credentials = match dialect {
            Dialect::S3 => self.keys(AWS_KEYS),
            Dialect::Oss => self.keys(ALIYUN_KEYS).or_else(|| self.keys(AWS_KEYS)),
        };
        let fixed = credentials.map(CredentialsProvider::Static);
        fixed.or_else(|| self.container_endpoint().map(CredentialsProvider::from))
    }

    /// Reads credentials from three variables. An id without a secret, or the reverse, is an error.
    fn keys(&mut self, [id, secret, token]: [&'static str; 3]) -> Option<Credentials> {
        match (self.get(id), self.get(secret)) {
            (Some(key_id), Some(key_secret)) => {
                Credentials::new(key_id, key_secret, self.get(token))
            }
            (Some(_), None) => {
                self.refuse(secret, None, "the secret of the key whose id is set");
                None
            }
            (None, Some(_)) => {
                self.refuse(id, None, "the id of the key whose secret is set");
                None
            }
            (None, None) => None,
        }
    }

    fn container_endpoint(&mut self) -> Option<ContainerEndpoint> {
        const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        let file = self.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        let token = self.get("AWS_CONTAINER_AUTHORIZATION_TOKEN");
        let authorization = match (file, token) {
            (Some(file), _) => Authorization::TokenFile(file.into()),
            (None, Some(token)) => Authorization::Token(token),
            (None, None) => Authorization::None,
        };
        let find = |variable| Some((variable, self.get(variable)?));
        let (variable, value) = find(RELATIVE).or_else(|| find(FULL))?;
        let endpoint = match variable {
            RELATIVE => ContainerEndpoint::from_relative_uri(&value, authorization),
            _ => ContainerEndpoint::from_full_uri(&value, authorization),
        };
        if endpoint.is_none() {
            let expected = "an http address of this machine or of a container credential endpoint";
            self.refuse(variable, Some(value), expected);
        }
        endpoint
    }
}

/// Smallest memory for parts, in bytes.
const MIN_MEMORY: usize = 16 << 20;
/// Id, secret and session token.
const AWS_KEYS: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];
const ALIYUN_KEYS: [&str; 3] = [
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
];

/// Whether S3 and OSS allow the name, dots included (S3: 3 to 63 characters).
pub(super) fn is_bucket_name(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        })
}

fn is_host_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
