//! Extractors for the caller of a request: identity, rules for its files, and the rate limit.

use std::net::IpAddr;

use axum::{
    extract::{FromRequestParts, Request},
    http::request::Parts,
};
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

use crate::api::{
    Api, Error,
    access::{
        auth::{self, Identity},
        rate_limit,
        signed::{self, Purpose, Rejected},
    },
    access_log::Journal,
    arguments::{Arguments, MAX_BODY_BYTES},
    concurrency::Slot,
    origin,
};
use crate::upload;

/// Caller of a route whose files pass through this function. The upload counts for the rate limit.
pub(in crate::api) struct Caller {
    pub(in crate::api) api: Api,
    pub(in crate::api) journal: Journal,
    address: Option<IpAddr>,
    slot: Option<Slot>,
    identity: Identity,
    /// The rules for callers that are not guests.
    general_rules: upload::Settings,
    is_counted: bool,
    /// Set once the caller is authorised.
    rules: Option<upload::Settings>,
}

/// Caller that starts a direct upload.
pub(in crate::api) struct DirectCaller(pub(in crate::api) Caller);

/// Caller that continues, completes or recalls an upload, which was counted when it started.
pub(in crate::api) struct ReturningCaller(pub(in crate::api) Caller);

impl FromRequestParts<Api> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Error> {
        Self::new(api, parts, api.settings.upload, true)
    }
}

impl FromRequestParts<Api> for DirectCaller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Error> {
        api.signing_secrets()?;
        Caller::new(api, parts, api.direct_rules(), true).map(Self)
    }
}

impl FromRequestParts<Api> for ReturningCaller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Error> {
        api.signing_secrets()?;
        Caller::new(api, parts, api.direct_rules(), false).map(Self)
    }
}

impl Caller {
    /// Verifies the token outside the body, if there is one.
    fn new(
        api: &Api,
        parts: &Parts,
        general_rules: upload::Settings,
        is_counted: bool,
    ) -> Result<Self, Error> {
        let identity = api.settings.auth.identify(parts)?;
        let journal = parts.extensions.get::<Journal>();
        let mut caller = Self {
            api: api.clone(),
            journal: journal.cloned().unwrap_or_default(),
            address: origin::client_address(parts, api.settings.trusted_hops),
            slot: parts.extensions.get().cloned(),
            identity,
            general_rules,
            is_counted,
            rules: None,
        };
        if caller.identity != Identity::Unknown {
            caller.authorize()?;
        }
        Ok(caller)
    }

    /// Verifies a token found in the body, unless there was one in a header or the query.
    pub(in crate::api) fn use_form_token(&mut self, token: &[u8]) -> Result<(), Error> {
        if self.identity == Identity::Unknown
            && let Some(token) = auth::extract_token(token)
        {
            self.identity = self.api.settings.auth.verify(token)?;
            self.authorize()?;
        }
        Ok(())
    }

    /// Reads a body of arguments, which may contain the token, and authorises the caller.
    pub(in crate::api) async fn read_arguments(
        &mut self,
        request: Request,
    ) -> Result<(Parts, Arguments), Error> {
        let (parts, body) = request.into_parts();
        let idle = self.api.settings.idle;
        let arguments = Arguments::read(&parts, body, MAX_BODY_BYTES, idle).await?;
        self.use_form_token(arguments.text(auth::TOKEN)?.as_bytes())?;
        self.authorize()?;
        Ok((parts, arguments))
    }

    /// Returns the rules for this caller's files. The first success counts the upload.
    pub(in crate::api) fn authorize(&mut self) -> Result<upload::Settings, Error> {
        if let Some(rules) = self.rules {
            return Ok(rules);
        }
        let rules = self
            .identity
            .rules(&self.general_rules, &self.api.settings.auth)?;
        if let Some(id) = self.identity.user() {
            self.journal.user(id);
        }
        if let Some(slot) = &self.slot {
            slot.mark_authorized();
        }
        if self.is_counted {
            rate_limit::count(&self.api, self.identity.user(), self.address)?;
        }
        Ok(*self.rules.insert(rules))
    }

    /// Returns the user id in the token; `None` where uploads need no token.
    pub(in crate::api) fn user(&self) -> Option<&str> {
        self.identity.user()
    }

    /// Signs a token for this caller; `None` without a signing secret.
    pub(in crate::api) fn sign(
        &self,
        purpose: Purpose,
        expires_at: DateTime<Utc>,
        content: &impl Serialize,
    ) -> Result<Option<String>, Error> {
        let secrets = &self.api.settings.direct.secrets;
        signed::sign(secrets, purpose, self.user(), expires_at, content)
    }

    /// Reads a token that was signed for this caller.
    pub(in crate::api) fn open<T: DeserializeOwned>(
        &self,
        purpose: Purpose,
        token: &str,
    ) -> Result<T, Rejected> {
        let secrets = &self.api.settings.direct.secrets;
        signed::open(secrets, purpose, token, self.user(), Utc::now())
    }
}
