//! Environment variables → the settings of each module. Nothing else reads the environment.
//!
//! Every variable is checked at start. One message names all invalid ones, with their values (never a
//! secret) and what was expected.

mod bucket;
mod vars;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use axum::http::{HeaderValue, Uri};
use chrono::FixedOffset;
use tracing::Level;
use tracing_subscriber::filter::Targets;

pub use self::vars::VARIABLES;
use self::{
    bucket::is_bucket_name,
    vars::{Vars, base_url, on_or_off, size},
};
use crate::{
    api::{self, AuthSettings, CorsOrigins, DirectSettings, PageSettings, ReadSettings, Secrets},
    runtime::Runtime,
    store::{self, bucket::Dialect, disk},
    upload::{
        self,
        media::{Kinds, Strip},
        naming::Folder,
    },
};

/// Configuration of the process.
#[derive(Clone, Debug)]
pub struct Config {
    /// Platform that started the process.
    pub runtime: Runtime,
    /// Address of the HTTP server: `UPLOAD_ADDR`, default `127.0.0.1:9000`; on FC
    /// `0.0.0.0:` with the port from `FC_SERVER_PORT` or `FC_CUSTOM_LISTEN_PORT`.
    pub addr: SocketAddr,
    /// Settings of the store: `UPLOAD_STORE` and related variables.
    pub store: store::Settings,
    /// Settings of the routes.
    pub api: api::Settings,
    /// `UPLOAD_WARM`, default on: connect to the bucket before the first request.
    pub warm: bool,
    /// `RUST_LOG`, default `info`.
    pub log: Targets,
    /// Whether no signing secret is set and this process uses a random one.
    pub has_random_secret: bool,
    /// Warnings for the operator about valid but questionable variables.
    pub warnings: Vec<String>,
}

/// One message for each invalid variable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment cannot be used:\n  {}", .0.join("\n  "))]
pub struct ConfigError(Vec<String>);

impl Config {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(std::env::vars_os().map(|(name, value)| {
            let text = |raw: OsString| raw.to_string_lossy().into_owned();
            (text(name), text(value))
        }))
    }

    /// Reads names and values; an empty value counts as absent.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn from_vars<N: Into<String>, V: Into<String>>(
        vars: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError> {
        let vars = vars.into_iter();
        let mut vars = Vars::new(vars.map(|(name, value)| (name.into(), value.into())));
        let runtime = vars.runtime();
        let addr = vars.addr(runtime);
        let request_limit = vars.timeout("UPLOAD_REQUEST_SECS", runtime, 900);
        let store = vars.store(runtime, request_limit);
        let mut api = vars.api(runtime, addr, request_limit, store.as_ref());
        // On loopback, large files and recalls work without setup; any other address needs a secret.
        let has_random_secret =
            runtime == Runtime::Local && addr.ip().is_loopback() && api.direct.secrets.is_empty();
        if has_random_secret {
            api.direct.secrets = Secrets::random();
        }
        let warm = vars.on_or_off("UPLOAD_WARM", true);
        let levels = "levels such as info or warn,chat_upload=debug";
        let log = vars.parse("RUST_LOG", levels, Targets::new().with_default(Level::INFO));
        vars.check_open_uploads(runtime, addr, api.auth.secrets.is_empty());
        match (store, vars.problems) {
            (Some(store), problems) if problems.is_empty() => Ok(Self {
                runtime,
                addr,
                store,
                api,
                warm,
                log,
                has_random_secret,
                warnings: vars.warnings,
            }),
            (_, problems) => Err(ConfigError(problems)),
        }
    }
}

/// All variables except those of a bucket.
impl Vars {
    /// Warns of uploads open to everybody, and of unknown variables. In a cloud both together are an
    /// error: the unknown variable may be a misspelt secret.
    fn check_open_uploads(&mut self, runtime: Runtime, addr: SocketAddr, open: bool) {
        let on_a_cloud = runtime != Runtime::Local;
        if open && (on_a_cloud || !addr.ip().is_loopback()) {
            let warning = "UPLOAD_JWT_SECRET is not set: everybody may upload";
            self.warnings.push(warning.to_owned());
        }
        let unknown: Vec<_> = self.unknown().map(str::to_owned).collect();
        for name in unknown {
            if open && on_a_cloud {
                self.problems.push(format!(
                    "{name} is not a variable of this program: expected one that README names, as \
                     it may be UPLOAD_JWT_SECRET misspelt"
                ))
            } else {
                self.warnings.push(format!(
                    "{name} is not a variable of this program and changes nothing"
                ))
            }
        }
    }

    /// Warns if the `url` of private files points to the bucket, which has no `/f/…`. A CDN in front of the
    /// bucket is not detected: its host name is the operator's choice.
    fn check_public_url(&mut self, public_url: &str, bucket: &store::bucket::Settings) {
        let is_below = |base: &String| {
            let rest = public_url.strip_prefix(base.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let urls = bucket.upload_urls();
        if urls.is_ok_and(|urls| urls.iter().any(is_below)) {
            let warning = "UPLOAD_PUBLIC_URL is the bucket's own address: with UPLOAD_READ=signed \
                           files are read through this function, whose address belongs there, and \
                           no url will work";
            self.warnings.push(warning.to_owned());
        }
    }

    fn runtime(&self) -> Runtime {
        const FC: [&str; 2] = ["FC_FUNCTION_NAME", "FC_INSTANCE_ID"];
        if self.get("AWS_LAMBDA_RUNTIME_API").is_some() {
            Runtime::Lambda
        } else if self.first_of(&FC).is_some() {
            Runtime::FunctionCompute
        } else {
            Runtime::Local
        }
    }

    fn addr(&mut self, runtime: Runtime) -> SocketAddr {
        let default = match runtime {
            Runtime::FunctionCompute => {
                let first = self.parse("FC_CUSTOM_LISTEN_PORT", A_PORT, 9000);
                let port: u16 = self.parse("FC_SERVER_PORT", A_PORT, first);
                SocketAddr::from(([0, 0, 0, 0], port))
            }
            Runtime::Lambda | Runtime::Local => SocketAddr::from(([127, 0, 0, 1], 9000)),
        };
        let expected = "an address and port such as 127.0.0.1:9000";
        self.parse("UPLOAD_ADDR", expected, default)
    }

    fn store(&mut self, runtime: Runtime, request_limit: Duration) -> Option<store::Settings> {
        const VARIABLE: &str = "UPLOAD_STORE";
        const EXPECTED: &str = "disk:<folder>, s3://<bucket> or oss://<bucket>";
        const TOO_SHORT: &str = "a bucket's name of 3 to 63 characters; this one is too short";
        let by_default = (runtime == Runtime::Local).then(|| "disk:./data".to_owned());
        let Some(value) = self.get(VARIABLE).or(by_default) else {
            self.refuse(VARIABLE, None, EXPECTED);
            return None;
        };
        if let Some(folder) = value.strip_prefix("disk:").filter(|it| !it.is_empty()) {
            return Some(store::Settings::Disk(disk::Settings {
                folder: PathBuf::from(folder),
                cache_control: self.cache_control(),
                request_limit,
            }));
        }
        let mut dialects = [("s3://", Dialect::S3), ("oss://", Dialect::Oss)].into_iter();
        match dialects.find_map(|(scheme, it)| Some((it, value.strip_prefix(scheme)?))) {
            Some((dialect, name)) if is_bucket_name(name) => {
                let bucket = self.bucket(runtime, dialect, name.to_owned());
                return Some(store::Settings::Bucket(Box::new(bucket)));
            }
            Some((_, name)) if name.len() < 3 => self.refuse(VARIABLE, Some(value), TOO_SHORT),
            _ => self.refuse(VARIABLE, Some(value), EXPECTED),
        }
        None
    }

    fn api(
        &mut self,
        runtime: Runtime,
        addr: SocketAddr,
        request_limit: Duration,
        store: Option<&store::Settings>,
    ) -> api::Settings {
        let strip = self.strip();
        let upload = upload::Settings {
            max_bytes: self.read("UPLOAD_MAX_BYTES", A_SIZE, 50 << 20, size),
            kinds: self.parse("UPLOAD_TYPES", SOME_KINDS, Kinds::ALL),
            utc_offset: self.parse("UPLOAD_UTC_OFFSET", "an offset such as +08:00", CHINA),
            strip,
            is_strict: self.strict(strip),
            sha256: self.on_or_off("UPLOAD_SHA256", false),
        };
        let prefix = self.read("UPLOAD_PREFIX", A_FOLDER, Folder::default(), |text| {
            Folder::parse(text).ok()
        });
        let public_url = self.read("UPLOAD_PUBLIC_URL", A_URL, None, |text| {
            base_url(text).map(Some)
        });
        let auth = self.auth();
        let bucket = match store {
            Some(store::Settings::Bucket(bucket)) => Some(&**bucket),
            Some(store::Settings::Disk(_)) | None => None,
        };
        let page = self.page(runtime, addr, public_url.as_deref(), bucket);
        // A folder has no URL.
        let own_url = bucket.and_then(|bucket| {
            let url = bucket.public_url().inspect_err(|error| {
                let problem = format!("UPLOAD_STORE: the bucket has no usable address: {error}");
                self.problems.push(problem);
            });
            url.ok()
        });
        let read = self.read_settings();
        if let (ReadSettings::Signed { .. }, Some(url)) = (read, &public_url)
            && let Some(bucket) = bucket
        {
            self.check_public_url(url, bucket);
        }
        api::Settings {
            page,
            read,
            upload,
            prefix,
            max_files: self.number("UPLOAD_MAX_FILES", "a number", 9, 1..=90),
            public_url: public_url.or(match read {
                ReadSettings::Public => own_url,
                // Files are read through this function.
                ReadSettings::Signed { .. } => None,
            }),
            cors: self.cors_origins(),
            direct: self.direct(&auth.secrets),
            auth,
            rate_per_minute: self.read("UPLOAD_RATE_PER_MIN", A_RATE, None, |text| {
                text.parse().ok().filter(|rate| *rate > 0).map(Some)
            }),
            trusted_hops: self.number("UPLOAD_TRUSTED_HOPS", "a number", 0, 0..=10),
            max_in_flight: self.number("UPLOAD_MAX_IN_FLIGHT", "a number", 200, 1..=10_000),
            base_path: self.read("UPLOAD_BASE_PATH", A_PATH, String::new(), base_path),
            idle: self.timeout("UPLOAD_IDLE_SECS", runtime, 30),
            request_limit,
        }
    }

    fn strip(&mut self) -> Strip {
        let words = [
            ("location", Strip::Location),
            ("device", Strip::Device),
            ("off", Strip::Off),
        ];
        let expected = "location, device or off";
        self.word("UPLOAD_STRIP", expected, Strip::Location, &words)
    }

    /// Strict mode needs stripping: without it no file is checked for a location.
    fn strict(&mut self, strip: Strip) -> bool {
        const EXPECTED: &str = "on or off, and off together with UPLOAD_STRIP=off";
        self.read("UPLOAD_STRIP_STRICT", EXPECTED, false, |text| {
            on_or_off(text).filter(|is_on| !is_on || strip != Strip::Off)
        })
    }

    /// Reads a timeout; on Function Compute it may not be shorter than the platform's own.
    fn timeout(&mut self, variable: &'static str, runtime: Runtime, default: u64) -> Duration {
        if runtime != Runtime::FunctionCompute {
            return self.seconds(variable, default, 1..=86_400);
        }
        let expected = "a number of seconds, 900 or more on Function Compute";
        let in_range = |seconds: &u64| (FC_SECS..=86_400).contains(seconds);
        let read = |text: &str| text.parse().ok().filter(in_range);
        Duration::from_secs(self.read(variable, expected, default.max(FC_SECS), read))
    }

    fn auth(&mut self) -> AuthSettings {
        let guests = [("allow", true), ("deny", false)];
        AuthSettings {
            secrets: self.secrets("UPLOAD_JWT_SECRET").unwrap_or_default(),
            guests_may_upload: self.word("UPLOAD_GUESTS", "allow or deny", true, &guests),
            guest_max_bytes: self.read("UPLOAD_GUEST_MAX_BYTES", A_SIZE, u64::MAX, size),
            guest_kinds: self.parse("UPLOAD_GUEST_TYPES", SOME_KINDS, Kinds::ALL),
        }
    }

    /// Reads the secrets in a variable; `None` when it is not set.
    fn secrets(&mut self, variable: &'static str) -> Option<Secrets> {
        let secrets = Secrets::parse(&self.get(variable)?);
        match &secrets {
            Ok(secrets) if secrets.any_is_short() => self.warnings.push(format!(
                "{variable} holds a secret of fewer than 16 bytes, which can be guessed"
            )),
            Ok(_) => {}
            Err(invalid) => self.problems.push(format!("{variable}: {invalid}")),
        }
        secrets.ok()
    }

    /// Signed reads need a separate secret, since every `url` is void once its secret changes.
    fn read_settings(&mut self) -> ReadSettings {
        let life = self.seconds("UPLOAD_READ_SECS", 7200, 2..=604_800);
        let signed = ReadSettings::Signed { life };
        let words = [("public", ReadSettings::Public), ("signed", signed)];
        let expected = "public or signed";
        let read = self.word("UPLOAD_READ", expected, ReadSettings::Public, &words);
        if read == signed && self.get("UPLOAD_SIGNING_SECRET").is_none() {
            const EXPECTED: &str = "a secret for UPLOAD_READ=signed other than UPLOAD_JWT_SECRET";
            self.refuse("UPLOAD_SIGNING_SECRET", None, EXPECTED);
        }
        read
    }

    fn direct(&mut self, jwt_secrets: &Secrets) -> DirectSettings {
        let secrets = self.secrets("UPLOAD_SIGNING_SECRET");
        DirectSettings {
            secrets: secrets.unwrap_or_else(|| jwt_secrets.clone()),
            form_life: self.seconds("UPLOAD_DIRECT_SECS", 900, 1..=86_400),
            max_bytes: self.read("UPLOAD_DIRECT_MAX_BYTES", A_SIZE, 500 << 20, size),
            recall_life: self.seconds("UPLOAD_RECALL_SECS", 300, 1..=86_400),
        }
    }

    /// The page is on by default only when listening on loopback.
    fn page(
        &mut self,
        runtime: Runtime,
        addr: SocketAddr,
        public_url: Option<&str>,
        bucket: Option<&store::bucket::Settings>,
    ) -> Option<PageSettings> {
        let is_on = self.on_or_off("UPLOAD_PAGE", addr.ip().is_loopback());
        // `api` reports a bucket without an address.
        let urls = bucket.and_then(|bucket| bucket.upload_urls().ok());
        let urls = urls.iter().flatten().map(String::as_str);
        let urls = public_url.into_iter().chain(urls);
        let host = |url: &str| Some(url.parse::<Uri>().ok()?.host()?.to_owned());
        (runtime == Runtime::Local).then(|| PageSettings {
            is_on,
            public_host: public_url.and_then(host),
            origins: urls.filter_map(origin_of).collect(),
        })
    }

    pub(super) fn cache_control(&mut self) -> HeaderValue {
        let default = match self.get("UPLOAD_READ").as_deref() {
            Some("signed") => "private, max-age=300",
            _ => "public, max-age=300",
        };
        let default = HeaderValue::from_static(default);
        let expected = "the value of a Cache-Control header such as public, max-age=300";
        self.read("UPLOAD_CACHE_CONTROL", expected, default, |text| {
            HeaderValue::from_str(text.trim()).ok()
        })
    }

    fn cors_origins(&mut self) -> CorsOrigins {
        let expected = "* or origins such as https://chat.example.com, separated by commas";
        self.read("UPLOAD_CORS_ORIGINS", expected, CorsOrigins::Any, |text| {
            if text.trim() == "*" {
                return Some(CorsOrigins::Any);
            }
            let origins = text.split(',').map(|entry| origin(entry.trim()));
            origins.collect::<Option<_>>().map(CorsOrigins::List)
        })
    }
}

/// Shortest server timeout that Function Compute allows, in seconds ("Principles" of custom runtimes).
const FC_SECS: u64 = 15 * 60;

const A_SIZE: &str = "a size such as 52428800, 50MB or 50MiB";

const A_RATE: &str = "a number of uploads, 1 or more";

const A_PATH: &str = "a path such as /prod";

const A_URL: &str = "a URL such as https://cdn.example.com, without ? or #";

const A_FOLDER: &str = "a folder of letters, digits, - _ . and /, at most 400 bytes, its first level \
                        not pending, f, s3, api, shop or _…";

const A_PORT: &str = "a port, 1 to 65535";

const SOME_KINDS: &str = "some of image,video,audio,document,file";

/// `+08:00`: time zone of the clients of the endpoint that this one replaces.
const CHINA: FixedOffset = match FixedOffset::east_opt(8 * 60 * 60) {
    Some(offset) => offset,
    None => panic!("eight hours are less than a day"),
};

/// Parses a path such as `/prod`, with or without slashes around it.
fn base_path(text: &str) -> Option<String> {
    let path = text.trim_matches('/');
    if path.is_empty() {
        return Some(String::new());
    }
    let path = format!("/{path}");
    let uri: Uri = path.parse().ok()?;
    (uri.path() == path).then_some(path)
}

/// Parses an origin as browsers send it: without a path, not even a slash.
fn origin(text: &str) -> Option<HeaderValue> {
    let url = base_url(text)?;
    let (_, authority) = url.split_once("://")?;
    (url == text && !authority.contains('/')).then(|| HeaderValue::from_str(text).ok())?
}

/// Returns the origin of a URL.
fn origin_of(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    Some(format!("{}://{}", url.scheme_str()?, url.authority()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tracing::level_filters::LevelFilter;

    use super::*;
    use crate::store::{Credentials, CredentialsProvider, bucket};

    fn config(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_vars(vars.iter().copied())
    }

    fn good(vars: &[(&str, &str)]) -> Config {
        config(vars).expect("a usable environment")
    }

    /// Variables in the notation of a shell: `NAME=value NAME=value`.
    fn shell(line: &str) -> Vec<(&str, &str)> {
        let pairs = line.split_whitespace();
        pairs
            .map(|pair| pair.split_once('=').expect("a pair"))
            .collect()
    }

    /// Messages about invalid variables.
    fn refusal(vars: &[(&str, &str)]) -> String {
        config(vars).expect_err("unusable").to_string()
    }

    const KEYS: &str = "AWS_ACCESS_KEY_ID=id AWS_SECRET_ACCESS_KEY=s3cr3t";
    const SECRET: (&str, &str) = ("UPLOAD_JWT_SECRET", "0123456789abcdef");

    fn bucket_of(line: &str) -> (bucket::Settings, Option<String>) {
        let config = good(&shell(&format!("{line} {KEYS}")));
        match config.store {
            store::Settings::Bucket(bucket) => (*bucket, config.api.public_url),
            store::Settings::Disk(_) => panic!("not a bucket"),
        }
    }

    #[test]
    fn nothing_set_is_a_developers_machine() {
        let config = good(&[]);
        assert_eq!(config.runtime, Runtime::Local);
        assert_eq!(config.addr.to_string(), "127.0.0.1:9000");
        assert!(
            matches!(config.store, store::Settings::Disk(disk) if disk.folder == Path::new("./data"))
        );
        assert_eq!(config.api.upload.max_bytes, 52_428_800);
        assert_eq!(config.api.max_files, 9);
        assert_eq!(config.api.public_url, None);
        assert_eq!(config.log.default_level(), Some(LevelFilter::INFO));
    }

    #[test]
    fn the_platform_tells_itself() {
        use Runtime::{FunctionCompute, Lambda, Local};
        for (line, runtime, addr) in [
            ("AWS_LAMBDA_RUNTIME_API=x", Lambda, "127.0.0.1:9000"),
            ("FC_FUNCTION_NAME=f", FunctionCompute, "0.0.0.0:9000"),
            (
                "FC_INSTANCE_ID=f FC_CUSTOM_LISTEN_PORT=9001",
                FunctionCompute,
                "0.0.0.0:9001",
            ),
            (
                "FC_INSTANCE_ID=f FC_CUSTOM_LISTEN_PORT=1 FC_SERVER_PORT=9002",
                FunctionCompute,
                "0.0.0.0:9002",
            ),
            (
                "FC_INSTANCE_ID=f UPLOAD_ADDR=127.0.0.1:0",
                FunctionCompute,
                "127.0.0.1:0",
            ),
            ("FC_INSTANCE_ID=", Local, "127.0.0.1:9000"),
        ] {
            let vars = shell("UPLOAD_STORE=disk:/mnt/nas");
            let config = good(&[vars, shell(line)].concat());
            let found = (config.runtime, config.addr.to_string());
            assert_eq!(found, (runtime, addr.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_bucket_knows_its_endpoint_and_where_clients_read_it() {
        for (line, endpoint, url) in [
            (
                "s3://bucket AWS_REGION=eu-west-1",
                None,
                "https://bucket.s3.eu-west-1.amazonaws.com",
            ),
            (
                "s3://bucket UPLOAD_REGION=cn-north-1",
                None,
                "https://bucket.s3.cn-north-1.amazonaws.com.cn",
            ),
            (
                "s3://my.chat UPLOAD_REGION=eu-west-1",
                None,
                "https://s3.eu-west-1.amazonaws.com/my.chat",
            ),
            (
                "s3://bucket UPLOAD_REGION=eu-west-1 UPLOAD_PATH_STYLE=true",
                None,
                "https://s3.eu-west-1.amazonaws.com/bucket",
            ),
            (
                "oss://bucket UPLOAD_REGION=oss-cn-hangzhou",
                Some("https://s3.oss-cn-hangzhou.aliyuncs.com"),
                "https://bucket.oss-cn-hangzhou.aliyuncs.com",
            ),
            (
                "oss://bucket FC_REGION=cn-beijing FC_INSTANCE_ID=i",
                Some("https://s3.oss-cn-beijing-internal.aliyuncs.com"),
                "https://bucket.oss-cn-beijing.aliyuncs.com",
            ),
            (
                "s3://bucket UPLOAD_ENDPOINT=http://127.0.0.1:8333/ UPLOAD_PATH_STYLE=true",
                Some("http://127.0.0.1:8333"),
                "http://127.0.0.1:8333/bucket",
            ),
            (
                "s3://bucket UPLOAD_ENDPOINT=https://r2.example.com",
                Some("https://r2.example.com"),
                "https://bucket.r2.example.com",
            ),
            (
                "s3://bucket AWS_REGION=eu-west-1 UPLOAD_PUBLIC_URL=https://cdn.example.com/",
                None,
                "https://cdn.example.com",
            ),
        ] {
            let (bucket, public_url) = bucket_of(&format!("UPLOAD_STORE={line}"));
            assert_eq!(bucket.endpoint.as_deref(), endpoint, "{line}");
            assert_eq!(public_url.as_deref(), Some(url), "{line}");
        }
    }

    #[test]
    fn parts_may_take_a_quarter_of_a_functions_memory() {
        for (line, bytes) in [
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=2048", 512 << 20),
            ("FC_FUNCTION_MEMORY_SIZE=512", 128 << 20),
            ("FC_FUNCTION_MEMORY_SIZE=32", 16 << 20),
            ("UPLOAD_MEMORY_BYTES=64MiB", 64 << 20),
            ("", 1 << 30),
        ] {
            let (bucket, _) = bucket_of(&format!(
                "UPLOAD_STORE=s3://files AWS_REGION=eu-west-1 {line}"
            ));
            assert_eq!(bucket.memory_bytes, bytes, "{line}");
        }
    }

    #[test]
    fn oss_prefers_the_credentials_of_its_own_cloud() {
        let aliyun = "UPLOAD_REGION=cn-hangzhou ALIBABA_CLOUD_ACCESS_KEY_ID=a \
                      ALIBABA_CLOUD_ACCESS_KEY_SECRET=b ALIBABA_CLOUD_SECURITY_TOKEN=c";
        let of_aliyun = Credentials::new("a", "b", Some("c".into()));
        let of_aws = Credentials::new("id", "s3cr3t", None);
        for (store, expected) in [("oss", of_aliyun), ("s3", of_aws)] {
            let (bucket, _) = bucket_of(&format!("UPLOAD_STORE={store}://bucket {aliyun}"));
            let found = match bucket.credentials {
                Some(CredentialsProvider::Static(credentials)) => Some(credentials),
                Some(CredentialsProvider::Container(_)) | None => None,
            };
            assert_eq!(found, expected, "{store}");
        }
    }

    #[test]
    fn oss_on_fc_needs_no_credentials_at_start() {
        good(&shell(
            "FC_INSTANCE_ID=i UPLOAD_STORE=oss://bucket FC_REGION=cn-hangzhou",
        ));
    }

    #[test]
    fn every_bad_variable_is_named_at_once_and_no_secret_is() {
        let good =
            shell("AWS_LAMBDA_RUNTIME_API=x AWS_SECRET_ACCESS_KEY=s3cr3t UPLOAD_STORE=s3://bucket");
        let url = ("UPLOAD_PUBLIC_URL", "https://me:s3cr3t@cdn.example.com");
        let mut bad = shell(
            "UPLOAD_MAX_BYTES=50mb UPLOAD_MAX_FILES=0 UPLOAD_TYPES=image,films \
             UPLOAD_UTC_OFFSET=Shanghai UPLOAD_PREFIX=../x UPLOAD_CORS_ORIGINS=https://a.example,b \
             UPLOAD_PATH_STYLE=yes UPLOAD_ENDPOINT=ftp://x SSL_CERT_FILE=/nowhere/ca.pem \
             UPLOAD_ADDR=9000",
        );
        bad.push(("UPLOAD_BASE_PATH", "/a b"));
        let error = refusal(&[&good[..], &[url], &bad].concat());
        let assigned = bad.iter().map(|(name, value)| format!("{name}={value:?}"));
        for named in assigned.chain([
            "UPLOAD_REGION is not set".into(),
            "AWS_ACCESS_KEY_ID is not set".into(),
            "UPLOAD_PUBLIC_URL=\"https://…@cdn.example.com\"".into(),
        ]) {
            assert!(error.contains(&named), "{named} in {error}");
        }
        assert!(!error.contains("s3cr3t"));
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named() {
        let keys = shell(KEYS);
        for (line, named) in [
            // A bucket without a usable address stops the start.
            (
                "UPLOAD_STORE=s3://chat--euw1-az1--x-s3 UPLOAD_REGION=eu-west-1",
                "UPLOAD_STORE: the bucket has no usable address",
            ),
            // A cloud must be told where to store.
            ("AWS_LAMBDA_RUNTIME_API=x", "UPLOAD_STORE is not set"),
            ("FC_FUNCTION_NAME=x", "UPLOAD_STORE is not set"),
            ("UPLOAD_STORE=s3://b", "too short"),
            ("UPLOAD_STORE=oss://bb", "too short"),
            ("UPLOAD_STRIP=Location", "UPLOAD_STRIP=\"Location\""),
            (
                "UPLOAD_STRIP=off UPLOAD_STRIP_STRICT=on",
                "UPLOAD_STRIP_STRICT=\"on\"",
            ),
            // Private files need a signing secret of their own.
            ("UPLOAD_READ=signed", "UPLOAD_SIGNING_SECRET is not set"),
            (
                "UPLOAD_READ=signed UPLOAD_JWT_SECRET=0123456789abcdef",
                "UPLOAD_SIGNING_SECRET is not set",
            ),
            ("UPLOAD_READ=private", "UPLOAD_READ=\"private\""),
            ("UPLOAD_READ_SECS=1", "UPLOAD_READ_SECS=\"1\""),
            ("UPLOAD_READ_SECS=604801", "UPLOAD_READ_SECS=\"604801\""),
        ] {
            let error = refusal(&[shell(line), keys.clone()].concat());
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn a_store_is_a_folder_or_a_bucket() {
        let bad = "disk disk: s3:// s3://A gs://bucket /data";
        for store in bad.split(' ').chain([""]) {
            let error = config(&[("AWS_LAMBDA_RUNTIME_API", "x"), ("UPLOAD_STORE", store)]);
            assert!(error.is_err(), "{store}");
        }
    }

    #[test]
    fn the_variable_that_is_really_missing_is_named() {
        let s3 = "UPLOAD_STORE=s3://bucket AWS_REGION=eu-west-1";
        let oss = "UPLOAD_STORE=oss://bucket UPLOAD_REGION=cn-hangzhou";
        let aliyun_id = "ALIBABA_CLOUD_ACCESS_KEY_ID";
        let aliyun_secret = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
        for (store, given, missing) in [
            (s3, "", "AWS_ACCESS_KEY_ID"),
            (s3, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            (s3, "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
            (oss, "", aliyun_id),
            (oss, aliyun_id, aliyun_secret),
            (oss, aliyun_secret, aliyun_id),
            (oss, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ] {
            let mut vars = shell(store);
            vars.push((given, "s3cr3t"));
            let error = refusal(&vars);
            let messages: Vec<_> = error.lines().skip(1).collect();
            assert_eq!(messages.len(), 1, "{error}");
            let start = format!("  {missing} is not set");
            assert!(messages[0].starts_with(&start), "{error}");
        }
    }

    #[test]
    fn a_variable_that_nobody_reads_is_named() {
        let misspelt = ("UPLOAD_JWT_SECERT", "s3cr3t of a person");
        let mut cloud = shell("FC_FUNCTION_NAME=f UPLOAD_STORE=disk:/mnt");
        cloud.push(misspelt);
        for vars in [vec![misspelt], [&cloud[..], &[SECRET]].concat()] {
            let warnings = good(&vars).warnings;
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            let is_named = warnings[0].starts_with("UPLOAD_JWT_SECERT is not");
            assert!(is_named, "{warnings:?}");
        }
        let error = refusal(&cloud);
        assert!(error.contains("UPLOAD_JWT_SECERT"), "{error}");
        assert!(!error.contains("s3cr3t"), "{error}");
        // Other prefixes and empty variables are ignored.
        let others = good(&shell("UPLOADER=x UPLOAD_TPYES="));
        assert_eq!(others.warnings, [""; 0]);
    }

    #[test]
    fn uploads_open_to_everybody_are_warned_of() {
        let secret = format!("UPLOAD_ADDR=0.0.0.0:9000 {}={}", SECRET.0, SECRET.1);
        for (line, warned) in [
            ("", false),
            ("UPLOAD_ADDR=[::1]:9000", false),
            ("UPLOAD_ADDR=0.0.0.0:9000", true),
            ("UPLOAD_ADDR=192.168.1.7:9000", true),
            (&secret, false),
            ("FC_FUNCTION_NAME=f UPLOAD_STORE=disk:/mnt", true),
        ] {
            let warnings = good(&shell(line)).warnings;
            assert_eq!(!warnings.is_empty(), warned, "{line} {warnings:?}");
            let mut messages = warnings.iter();
            assert!(messages.all(|text| text.contains("everybody may upload")));
        }
    }

    #[test]
    fn secrets_that_would_let_everybody_in_stop_the_start() {
        for variable in ["UPLOAD_JWT_SECRET", "UPLOAD_SIGNING_SECRET"] {
            for useless in [",", " ", ",,", "\t", "vSx9Yq2LkT8w,7"] {
                let error = refusal(&[(variable, useless)]);
                assert!(error.contains(variable), "{error}");
                assert!(!error.contains("vSx9"), "{error}");
            }
            let short = good(&[(variable, "0123456789abcdef,12345678")]);
            assert_eq!(short.warnings.len(), 1, "{:?}", short.warnings);
            assert!(short.warnings[0].contains(variable));
        }
    }

    #[test]
    fn location_is_stripped_unless_the_operator_wants_more_or_nothing() {
        for (line, strip, is_strict) in [
            ("", Strip::Location, false),
            ("UPLOAD_STRIP=location", Strip::Location, false),
            ("UPLOAD_STRIP=device", Strip::Device, false),
            ("UPLOAD_STRIP=off", Strip::Off, false),
            ("UPLOAD_STRIP_STRICT=on", Strip::Location, true),
        ] {
            let upload = good(&shell(line)).api.upload;
            assert_eq!((upload.strip, upload.is_strict), (strip, is_strict));
        }
    }

    #[test]
    fn private_files_are_read_at_addresses_that_end() {
        const SIGNED: &str = "UPLOAD_READ=signed UPLOAD_SIGNING_SECRET=0123456789abcdef";
        assert_eq!(good(&[]).api.read, ReadSettings::Public);
        for (more, seconds) in [
            ("", 7200),
            ("UPLOAD_READ_SECS=2", 2),
            ("UPLOAD_READ_SECS=604800", 604_800),
        ] {
            let read = good(&shell(&format!("{SIGNED} {more}"))).api.read;
            let life = Duration::from_secs(seconds);
            assert_eq!(read, ReadSettings::Signed { life });
        }
        let bucket = "UPLOAD_STORE=s3://chat UPLOAD_REGION=eu-west-1";
        let (_, public_url) = bucket_of(&format!("{SIGNED} {bucket}"));
        assert_eq!(public_url, None);
    }

    #[test]
    fn private_files_that_would_be_read_from_the_bucket_are_warned_of() {
        let s3 = "UPLOAD_STORE=s3://chat UPLOAD_REGION=eu-west-1";
        let local = "UPLOAD_STORE=s3://chat UPLOAD_ENDPOINT=http://127.0.0.1:8333 \
                     UPLOAD_PATH_STYLE=true";
        let own = "https://chat.s3.eu-west-1.amazonaws.com";
        for (read, store, url, warned) in [
            ("signed", s3, own, true),
            ("signed", s3, &format!("{own}/x"), true),
            ("signed", s3, &format!("{own}.cn"), false),
            ("signed", s3, "https://chat.example.com", false),
            ("public", s3, own, false),
            ("signed", local, "http://127.0.0.1:8333/chat", true),
            ("signed", local, "http://127.0.0.1:8333/chats", false),
            ("signed", "", "https://chat.example.com", false),
        ] {
            let line = format!(
                "{store} {KEYS} UPLOAD_SIGNING_SECRET=0123456789abcdef \
                 UPLOAD_READ={read} UPLOAD_PUBLIC_URL={url}"
            );
            let warnings = good(&shell(&line)).warnings;
            assert_eq!(!warnings.is_empty(), warned, "{read} {url} {warnings:?}");
            let mut messages = warnings.iter();
            assert!(messages.all(|text| text.contains("UPLOAD_PUBLIC_URL")));
        }
    }

    #[test]
    fn slashes_around_a_base_path_do_not_matter() {
        for (given, path) in [
            ("prod", "/prod"),
            ("/prod/", "/prod"),
            ("/", ""),
            ("/a/b", "/a/b"),
        ] {
            assert_eq!(good(&[("UPLOAD_BASE_PATH", given)]).api.base_path, path);
        }
    }
}
