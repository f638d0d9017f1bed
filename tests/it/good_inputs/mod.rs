//! Valid forms of real clients and valid files, which must be accepted: with each driver, checking the
//! whole response and the stored object. Similar inputs that must still be refused are here, too.

mod documents;
mod forms;
mod media;
mod unknown;

use crate::{
    drivers::{Case, Driver, run},
    support::Form,
};

/// A file with this name, sent in the usual form.
fn file(about: String, name: &str, content: impl AsRef<[u8]>) -> Case {
    Case::form(about, &Form::img(name, content))
}

/// Returns the Content-Disposition of a file in a bucket; its name has only characters that both forms of
/// the parameter allow.
fn attachment(name: &str) -> String {
    match name {
        "" => "attachment".to_owned(),
        _ => format!("attachment; filename=\"{name}\"; filename*=UTF-8''{name}"),
    }
}

/// Returns every case; they are independent and can be sent in any order.
fn cases() -> Vec<Case> {
    [forms::cases(), documents::cases(), media::cases()].concat()
}

/// Runs the list, then files of unknown kinds with programs that accept them.
async fn all(driver: Driver) {
    run(driver, &[], &cases()).await;
    let types = ("UPLOAD_TYPES", "image,audio,document,file");
    run(driver, &[types], &unknown::cases()).await;
    let of_guests = ("UPLOAD_GUEST_TYPES", "image,file");
    run(driver, &[types, of_guests], &unknown::guest_cases()).await;
}

#[tokio::test]
async fn every_good_input_is_taken_by_the_router_alone() {
    all(Driver::Router).await;
}

#[tokio::test]
async fn every_good_input_is_taken_by_the_local_server_with_a_folder() {
    all(Driver::Local).await;
}

#[tokio::test]
async fn every_good_input_is_taken_on_function_compute_with_a_bucket() {
    all(Driver::FunctionCompute).await;
}

#[tokio::test]
async fn every_good_input_is_taken_on_lambda_with_a_bucket() {
    all(Driver::Lambda).await;
}
