//! Whoever sends a request, and what the request may store.

use axum::{body::Body, http::request::Parts};

use crate::api::{
    Api, Error,
    access::auth::{self, Access},
    access_log::Journal,
    arguments::{Arguments, MAX_BODY_BYTES},
};
use crate::upload;

/// One request's sender, known or not yet known.
pub(in crate::api) struct Caller<'r> {
    pub(in crate::api) api: &'r Api,
    pub(in crate::api) journal: &'r Journal,
    parts: &'r Parts,
    access: Access,
    /// The rules for somebody of whom nothing is known.
    everybody: upload::Settings,
    is_counted: bool,
    /// Known once the caller is admitted.
    rules: Option<upload::Settings>,
}

impl<'r> Caller<'r> {
    /// Judges the token that stands outside the form, if one does. The upload is counted.
    pub(in crate::api) fn of(
        api: &'r Api,
        journal: &'r Journal,
        parts: &'r Parts,
    ) -> Result<Self, Error> {
        Self::under(api.settings.upload, true, api, journal, parts)
    }

    /// The same for a file that does not come through this function.
    pub(in crate::api) fn of_direct(
        api: &'r Api,
        journal: &'r Journal,
        parts: &'r Parts,
    ) -> Result<Self, Error> {
        Self::under(api.direct_rules(), true, api, journal, parts)
    }

    /// The same for what goes on with something that was counted when it began.
    pub(in crate::api) fn of_more(
        api: &'r Api,
        journal: &'r Journal,
        parts: &'r Parts,
    ) -> Result<Self, Error> {
        Self::under(api.direct_rules(), false, api, journal, parts)
    }

    fn under(
        everybody: upload::Settings,
        is_counted: bool,
        api: &'r Api,
        journal: &'r Journal,
        parts: &'r Parts,
    ) -> Result<Self, Error> {
        let access = api.settings.auth.of_request(parts)?;
        let mut caller = Self {
            api,
            journal,
            parts,
            access,
            everybody,
            is_counted,
            rules: None,
        };
        if caller.access != Access::Unknown {
            caller.admitted()?;
        }
        Ok(caller)
    }

    /// Judges a token of the form, unless one outside counts already.
    pub(in crate::api) fn presents(&mut self, token: &[u8]) -> Result<(), Error> {
        let token = token.trim_ascii();
        if self.access == Access::Unknown && !token.is_empty() {
            self.access = self.api.settings.auth.of_token(token)?;
            self.admitted()?;
        }
        Ok(())
    }

    /// Reads what is asked for, a token perhaps among it. Whoever may not upload is told so then.
    pub(in crate::api) async fn asks(&mut self, body: Body) -> Result<Arguments, Error> {
        let patience = self.api.settings.idle;
        let arguments = Arguments::read(self.parts, body, MAX_BODY_BYTES, patience).await?;
        self.presents(arguments.text(auth::TOKEN)?.as_bytes())?;
        self.admitted()?;
        Ok(arguments)
    }

    /// The rules for this caller's files, once it may upload at all.
    pub(in crate::api) fn admitted(&mut self) -> Result<upload::Settings, Error> {
        if let Some(rules) = self.rules {
            return Ok(rules);
        }
        let rules = self
            .access
            .rules(&self.everybody, &self.api.settings.auth)?;
        let user = self.access.user();
        if let Some(id) = user {
            self.journal.user(id);
        }
        if self.is_counted {
            self.api.count(user, self.parts)?;
        }
        Ok(*self.rules.insert(rules))
    }

    /// Whose token it is; `None` where everybody may upload.
    pub(in crate::api) fn user(&self) -> Option<&str> {
        self.access.user()
    }
}
