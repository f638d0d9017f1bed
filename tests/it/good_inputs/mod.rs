//! Forms that real clients send and files that people send, which must be taken: through each way into
//! the program, with all that an answer says of them and with what is stored. Inputs beside them that
//! must stay refused are here, too.

mod documents;
mod forms;
mod media;
mod unknown;

use crate::{
    drivers::{Case, Way, run},
    support::Form,
};

/// A file of this name, sent in the usual form.
fn file(about: String, name: &str, content: impl AsRef<[u8]>) -> Case {
    Case::form(about, &Form::img(name, content))
}

/// The disposition under which a bucket hands out a file; a name's characters are those of both forms
/// of a name.
fn attachment(name: &str) -> String {
    match name {
        "" => "attachment".to_owned(),
        _ => format!("attachment; filename=\"{name}\"; filename*=UTF-8''{name}"),
    }
}

/// Every case; each stands for itself and can be sent in any order.
fn cases() -> Vec<Case> {
    [forms::cases(), documents::cases(), media::cases()].concat()
}

/// The list, and the files of no known kind of programs that take them.
async fn all(way: Way) {
    run(way, &[], &cases()).await;
    let types = ("UPLOAD_TYPES", "image,audio,document,file");
    run(way, &[types], &unknown::cases()).await;
    let of_guests = ("UPLOAD_GUEST_TYPES", "image,file");
    run(way, &[types, of_guests], &unknown::of_guests()).await;
}

#[tokio::test]
async fn every_good_input_is_taken_by_the_router_alone() {
    all(Way::Router).await;
}

#[tokio::test]
async fn every_good_input_is_taken_by_the_local_server_with_a_folder() {
    all(Way::Local).await;
}

#[tokio::test]
async fn every_good_input_is_taken_on_function_compute_with_a_bucket() {
    all(Way::FunctionCompute).await;
}

#[tokio::test]
async fn every_good_input_is_taken_on_lambda_with_a_bucket() {
    all(Way::Lambda).await;
}
