//! Command-line arguments: `--help` and `--version`. Everything else is set by environment variables.

use std::{ffi::OsString, process::ExitCode};

const HELP: &str = "\
chat-upload takes the pictures, videos, voice and documents of a chat and puts them into a bucket or a folder.

usage: bootstrap              starts the server: http://127.0.0.1:9000, files go into ./data
       bootstrap --help       prints this
       bootstrap --version    prints the version

Settings are environment variables. The first ones to know:

  UPLOAD_ADDR             where to listen                       127.0.0.1:9000
                          0.0.0.0:9000 lets other devices in
  UPLOAD_STORE            disk:<folder>, s3://<bucket> or       disk:./data
                          oss://<bucket>
  UPLOAD_JWT_SECRET       signs the tokens of who may upload    everybody may
  UPLOAD_SIGNING_SECRET   signs large uploads and recalls       UPLOAD_JWT_SECRET
  UPLOAD_MAX_BYTES        largest file                          52428800
  UPLOAD_PAGE             on or off: a page to try it at /      on, on this machine
  RUST_LOG                how much is logged                    info

README.md explains all of them. On AWS Lambda and Aliyun Function Compute the platform starts the same program.
";

/// Prints the help or the version; `None` without arguments, when the server is to start.
pub(crate) fn answer(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let argument = arguments.next()?;
    match (argument.to_str(), arguments.next()) {
        (Some("--help" | "-h"), None) => print!("{HELP}"),
        (Some("--version" | "-V"), None) => println!("chat-upload {}", env!("CARGO_PKG_VERSION")),
        _ => {
            eprintln!(
                "{argument:?} is not an argument of this program: settings are environment variables, see --help"
            );
            return Some(ExitCode::from(2));
        }
    }
    Some(ExitCode::SUCCESS)
}
