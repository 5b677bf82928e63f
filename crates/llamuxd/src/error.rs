// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Errors as clients of OpenAI's protocol know them.

use axum::http::{header, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use llamux::Error;
use serde_json::json;

/// Why a request is not answered.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// The status of the answer.
    pub status: StatusCode,
    /// What went wrong, and what to do.
    pub message: String,
    /// One word for programs.
    pub code: Option<&'static str>,
    /// The member of the request that it is about.
    pub param: Option<String>,
    /// After so many seconds it may be tried again.
    pub retry_after: Option<u64>,
}

impl ApiError {
    /// An error of this status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            code: None,
            param: None,
            retry_after: None,
        }
    }

    /// The request is at fault.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A member of the request is at fault.
    pub fn param(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::bad(message)
        }
    }

    /// A member of the request asks for what there is not.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::param(param, message).code("unsupported_parameter")
    }

    /// With a word for programs.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// To be tried again after so many seconds.
    #[must_use]
    pub fn retry(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// There is no model of this name.
    pub fn no_such_model(name: &str) -> Self {
        Self {
            param: Some("model".into()),
            code: Some("model_not_found"),
            ..Self::new(
                StatusCode::NOT_FOUND,
                format!("There is no model {name:?}: GET /v1/models lists those that there are."),
            )
        }
    }

    /// Too much is asked for at once.
    pub fn busy(message: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, message)
            .code("rate_limit_exceeded")
            .retry(seconds)
    }

    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// What is sent.
    pub fn body(&self) -> serde_json::Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind(),
            "param": self.param,
            "code": self.code,
        }})
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        use StatusCode as S;
        let message = error.to_string();
        let quota = libc::EDQUOT;
        match error {
            Error::Loading => Self::new(S::SERVICE_UNAVAILABLE, message)
                .code("model_loading")
                .retry(2),
            Error::NotSupported { .. } | Error::NoModel { .. } | Error::Forbidden => {
                Self::new(S::SERVICE_UNAVAILABLE, message).code("no_model")
            }
            Error::UnknownModel { name } => Self::no_such_model(&name),
            Error::Device(error) if error.raw_os_error() == Some(quota) => Self::busy(message, 5),
            Error::OverLimit => Self::busy(message, 5),
            Error::Device(_) => Self::new(S::SERVICE_UNAVAILABLE, message).code("no_model"),
            Error::Busy | Error::OutOfMemory => Self::new(S::SERVICE_UNAVAILABLE, message).retry(1),
            Error::EmptyPrompt => Self::bad(message),
            Error::PromptTooLong { .. } | Error::PromptOverContext { .. } => {
                Self::bad(message).code("context_length_exceeded")
            }
            Error::Parameter { name, .. } => Self::param(name, message),
            Error::GrammarStuck => Self::bad(message).code("grammar_stuck"),
            Error::TimedOut => Self::new(S::GATEWAY_TIMEOUT, message).code("timeout"),
            _ => Self::new(S::INTERNAL_SERVER_ERROR, message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_kernel_has_its_status() {
        let over = std::io::Error::from_raw_os_error(libc::EDQUOT);
        let denied = std::io::Error::from_raw_os_error(libc::EACCES);
        let cases = [
            (Error::Loading, 503, Some("model_loading"), true),
            (
                Error::NoModel { reason: None },
                503,
                Some("no_model"),
                false,
            ),
            (
                Error::UnknownModel { name: "x".into() },
                404,
                Some("model_not_found"),
                false,
            ),
            (Error::OverLimit, 429, Some("rate_limit_exceeded"), true),
            (Error::Device(over), 429, Some("rate_limit_exceeded"), true),
            (Error::Device(denied), 503, Some("no_model"), false),
            (
                Error::PromptOverContext { context: Some(7) },
                400,
                Some("context_length_exceeded"),
                false,
            ),
            (Error::TimedOut, 504, Some("timeout"), false),
            (Error::Internal { reason: None }, 500, None, false),
        ];
        for (error, status, code, retry) in cases {
            let error = ApiError::from(error);
            assert_eq!(error.status.as_u16(), status, "{error:?}");
            assert_eq!(error.code, code, "{error:?}");
            assert_eq!(error.retry_after.is_some(), retry, "{error:?}");
            assert!(error.body()["error"]["message"].is_string());
        }
    }
}
