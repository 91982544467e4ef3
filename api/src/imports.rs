//! `/models/{name}/imports`: an administrator brings in a model trained elsewhere. What is asked for is a training run
//! like any other; the Trainer looks at the files (`almanac_actors::trainer`).

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{HttpRequest, HttpResponse, post, web};
use almanac_domain::training_run::{
    FeatureSet, ImportedFile, ModelImport, TrainingPlan, TrainingReason, TrainingRequested,
    TrainingRun as Aggregate, TrainingRunCommand,
};
use almanac_domain::values::{Horizon, ModelName, Session, StoredObject};
use almanac_ml::Family;
use almanac_ml::onnx::MOST_BYTES;
use almanac_projections::models as shown;
use almanac_store::StoreError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use utoipa::ToSchema;

use crate::commands::{AdminOrder, Created, after};
use crate::extraction::{LARGEST_BODY, large_body};
use crate::models::{name, no_such_model};
use crate::problem::{Kind, Problem};
use crate::state::State;

/// The largest body: files of [`MOST_BYTES`] together, in base64, and what stands around them.
const LARGEST_IMPORT: usize = MOST_BYTES.div_ceil(3) * 4 + LARGEST_BODY;

/// A model trained elsewhere, as ONNX: what its files have to look like stands in `docs/models.md`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ImportWanted {
    /// The files, one for each horizon; at most 256 MB together.
    #[schema(min_items = 1)]
    pub files: Vec<FileWanted>,
    /// The last session it has learnt from: only later ones are scored. Without it the score says nothing of its skill.
    #[schema(value_type = Option<chrono::NaiveDate>)]
    pub trained_through: Option<Session>,
}

/// A file with the horizon it forecasts.
#[derive(Debug, Deserialize, ToSchema)]
pub struct FileWanted {
    /// The horizon, in sessions.
    #[schema(minimum = 1, maximum = 60, example = 1)]
    pub horizon: u32,
    /// The ONNX file in base64.
    #[schema(value_type = String, format = Byte)]
    pub onnx: Base64,
}

/// Bytes written in base64, or that they are not: a body with a bad file can be read, and answered by the file's name.
#[derive(Debug)]
pub struct Base64(Result<Vec<u8>, base64::DecodeError>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Decodes where the text lies: a copy of it might be as large as the whole body.
        struct Decoded;

        impl Visitor<'_> for Decoded {
            type Value = Base64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a file in base64")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Base64, E> {
                Ok(Base64(STANDARD.decode(text)))
            }
        }

        deserializer.deserialize_str(Decoded)
    }
}

/// A file whose form is right.
struct Checked {
    horizon: Horizon,
    bytes: Vec<u8>,
}

impl ImportWanted {
    /// The files, the nearest horizon first, or what is wrong with each.
    fn checked(self) -> Result<Vec<Checked>, Problem> {
        if self.files.is_empty() {
            return Err(Problem::invalid("files", "an import has at least one file"));
        }
        let (mut checked, mut wrong, mut horizons) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        for (place, file) in self.files.into_iter().enumerate() {
            let horizon = match Horizon::new(file.horizon) {
                Ok(horizon) => Some(horizon),
                Err(error) => {
                    wrong.insert(format!("files[{place}].horizon"), error.to_string());
                    None
                }
            };
            if horizon.is_some_and(|horizon| !horizons.insert(horizon)) {
                let words = "another file has this horizon: one file for each";
                wrong.insert(format!("files[{place}].horizon"), words.to_owned());
            }
            let bytes = match file.onnx.0 {
                Ok(bytes) if bytes.is_empty() => Err("the file is empty".to_owned()),
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(format!("it is not base64: {error}")),
            };
            match (horizon, bytes) {
                (Some(horizon), Ok(bytes)) => checked.push(Checked { horizon, bytes }),
                (None, Ok(_)) => {}
                (_, Err(words)) => {
                    wrong.insert(format!("files[{place}].onnx"), words);
                }
            }
        }
        let together: usize = checked.iter().map(|file| file.bytes.len()).sum();
        if !wrong.is_empty() {
            return Err(Problem::invalid_fields(wrong));
        }
        if together > MOST_BYTES {
            let words = format!("the files have {together} bytes; at most {MOST_BYTES} are taken together");
            return Err(Problem::with(Kind::TooLarge, words));
        }
        checked.sort_by_key(|file| file.horizon);
        Ok(checked)
    }
}

/// Asks for a model trained elsewhere to be brought in: a training run that looks at it instead of training, and
/// makes it a version that nobody but a person promotes. For administrators.
#[utoipa::path(
    tag = "training runs",
    security(("session" = []), ("token" = [])),
    request_body = ImportWanted,
    responses((status = 202, description = "Requested; a trainer takes it up", body = Created))
)]
#[post("/models/{name}/imports")]
pub async fn request_import(
    state: web::Data<State>,
    order: AdminOrder,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let model = known(&state, &path).await?;
    let wanted: ImportWanted = large_body(&request, payload, LARGEST_IMPORT).await?;
    let learnt_through = wanted.trained_through;
    if learnt_through.is_some_and(|last| last > state.now().date_naive()) {
        return Err(Problem::invalid("trained_through", "that day is still to come"));
    }
    let files = stored(&state, wanted.checked()?).await?;
    let import = ModelImport { files, learnt_through };
    let plan = TrainingPlan {
        family: Family::Onnx.name().to_owned(),
        feature_set: FeatureSet::Core,
        horizons: import.horizons(),
        sentiment: false,
        seed: state.parts.settings.training.seed,
    };
    // The digests of the files stand for their bytes.
    let (id, issued) = (order.0.new_id("training_run"), order.0.issued(&import)?);
    let asked = TrainingRequested {
        model,
        reason: TrainingReason::Manual,
        figures: vec![],
        plan,
        import: Some(import),
        requested_by: Some(order.0.caller.id),
    };
    let command = TrainingRunCommand::RequestTraining(asked);
    let requested = state.parts.bus.execute::<Aggregate>(&id.to_string(), command, &issued).await?;
    Ok(HttpResponse::Accepted().json(Created { id, after: after(&requested) }))
}

/// The model that publishes or has a version: a slip of the pen makes no new one.
async fn known(state: &State, text: &str) -> Result<ModelName, Problem> {
    let model = name(text)?;
    let there = model == state.parts.settings.model
        || shown::find(state.parts.database.pool(), &model, i64::MAX).await?.is_some();
    if there { Ok(model) } else { Err(no_such_model()) }
}

/// Stores the files, so that the event can name them.
async fn stored(state: &State, files: Vec<Checked>) -> Result<Vec<ImportedFile>, Problem> {
    let mut stored = Vec::new();
    for Checked { horizon, bytes } in files {
        let object = state.parts.objects.put("imports", bytes, "onnx").await.map_err(StoreError::from)?;
        let sha256 = object.sha256.parse().map_err(Problem::broken)?;
        let object = StoredObject { key: object.key, sha256, bytes: object.len };
        stored.push(ImportedFile { horizon, object });
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn wanted(files: &serde_json::Value) -> ImportWanted {
        serde_json::from_value(serde_json::json!({ "files": files })).unwrap()
    }

    #[test]
    fn files_come_in_the_order_of_their_horizons() {
        let wanted = wanted(&serde_json::json!([
            { "horizon": 5, "onnx": "Zml2ZQ==" },
            { "horizon": 1, "onnx": "b25l" },
        ]));
        let files = wanted.checked().unwrap();
        let files: Vec<_> =
            files.iter().map(|file| (file.horizon.sessions(), file.bytes.as_slice())).collect();
        assert_eq!(files, [(1, b"one".as_slice()), (5, b"five")]);
    }

    #[test]
    fn each_file_at_fault_is_named_with_its_reason() {
        let wrong = serde_json::json!([
            { "horizon": 1, "onnx": "b25l" },
            { "horizon": 1, "onnx": "b25l" },
            { "horizon": 0, "onnx": "not base64" },
            { "horizon": 5, "onnx": "" },
        ]);
        let problem = wanted(&wrong).checked().map(|_| ()).unwrap_err();
        assert_eq!(problem.kind(), Kind::Invalid);
        let body = actix_web::ResponseError::error_response(&problem).into_body();
        let body = actix_web::body::MessageBody::try_into_bytes(body).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let named: Vec<&String> = body["errors"].as_object().unwrap().keys().collect();
        assert_eq!(named, ["files[1].horizon", "files[2].horizon", "files[2].onnx", "files[3].onnx"]);
        assert!(wanted(&serde_json::json!([])).checked().is_err());
    }
}
