// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What several tests need.

use llamux::{Error, ListedModel};

use crate::engine::{Engine, Later, Parts, Question, Vectors};

/// An engine without models.
pub(crate) struct Nobody;

impl Engine for Nobody {
    fn models(&self) -> Result<Vec<ListedModel>, Error> {
        Ok(vec![])
    }

    fn ask(&self, _user: Option<u32>, _question: Question) -> Parts {
        tokio::sync::mpsc::channel(1).1
    }

    fn embed(
        &self,
        _user: Option<u32>,
        _model: Option<String>,
        _texts: Vec<String>,
    ) -> Later<Result<Vectors, Error>> {
        Box::pin(async { Err(Error::NoModel { reason: None }) })
    }

    fn statistics(&self) -> String {
        String::new()
    }
}
