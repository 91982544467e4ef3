//! Object storage: in a folder, and over the S3 protocol with signatures that are checked.

use std::fs;

use almanac_store::objects::{ObjectError, Objects};
use almanac_store::testing::ScratchFolder;
use futures::future::join_all;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

async fn keeps_what_it_is_given(objects: &Objects) {
    let first = objects.put("bars", b"open,high,low,close".to_vec(), "csv").await.unwrap();
    let again = objects.put("bars", b"open,high,low,close".to_vec(), "csv").await.unwrap();
    assert_eq!(first, again, "writing the same bytes twice is one object");
    assert_eq!(first.key, format!("bars/{}.csv", first.sha256));
    assert_eq!((first.len, first.sha256.len()), (19, 64));
    assert_eq!(objects.get(&first.key).await.unwrap(), b"open,high,low,close");
    let empty = objects.put("models/us-daily", vec![], "bin").await.unwrap();
    assert_eq!(objects.get(&empty.key).await.unwrap(), b"");
    let absent = format!("bars/{}.csv", "0".repeat(64));
    assert!(matches!(objects.get(&absent).await, Err(ObjectError::Absent(key)) if key == absent));
    assert!(matches!(objects.get("../../etc/passwd").await, Err(ObjectError::BadKey(_))));
}

/// Of writers at the same moment exactly one wins; the others learn that another head is there.
async fn keeps_one_head_of_a_size(objects: &Objects) {
    let notes: Vec<_> = (0..8).map(|number| format!("head {number}")).collect();
    let all = join_all(notes.iter().map(|note| objects.publish_head(3, note))).await;
    let kept = objects.head_of(3).await.unwrap().unwrap();
    for (note, published) in notes.iter().zip(all) {
        match published {
            Ok(()) => assert_eq!(*note, kept, "whoever was told that it is published finds it"),
            Err(error) => assert!(matches!(error, ObjectError::Contradicted(_)), "{error}"),
        }
    }
    objects.publish_head(3, &kept).await.unwrap();
    assert_eq!(objects.latest_head().await.unwrap(), Some(kept));
}

#[tokio::test]
async fn fault_13_of_two_heads_of_one_size_published_at_once_one_is_refused() {
    let folder = ScratchFolder::new();
    keeps_one_head_of_a_size(&Objects::in_folder(&folder).unwrap()).await;
    keeps_one_head_of_a_size(&Objects::open("memory:///", []).unwrap()).await;
}

#[tokio::test]
async fn a_folder_keeps_what_it_is_given() {
    let folder = ScratchFolder::new();
    let url = format!("file://{}/deep/down", folder.display());
    keeps_what_it_is_given(&Objects::open(&url, []).unwrap()).await;
    assert!(folder.join("deep/down/bars").is_dir());
}

#[tokio::test]
async fn fault_31_an_object_whose_bytes_were_changed_is_refused_by_its_digest() {
    let folder = ScratchFolder::new();
    let objects = Objects::in_folder(&folder).unwrap();
    let kept = objects.put("models", b"weights".to_vec(), "bin").await.unwrap();
    fs::write(folder.join(&kept.key), b"weight5").unwrap();
    assert!(matches!(objects.get(&kept.key).await, Err(ObjectError::Damaged(_))));
}

/// A server that speaks S3 over HTTP on loopback and refuses requests that are not signed with its one key.
async fn s3_server(folder: &ScratchFolder) -> String {
    fs::create_dir(folder.join("almanac")).unwrap();
    let mut service = S3ServiceBuilder::new(FileSystem::new(&**folder).unwrap());
    service.set_auth(SimpleAuth::from_single("a key", "a secret"));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                server.serve_connection(TokioIo::new(socket), service).await
            });
        }
    });
    endpoint
}

fn with_secret(endpoint: &str, secret: &str) -> Vec<(String, String)> {
    [
        ("aws_endpoint", endpoint),
        ("aws_allow_http", "true"),
        ("aws_region", "eu-central-1"),
        ("aws_access_key_id", "a key"),
        ("aws_secret_access_key", secret),
        ("path", "what the environment holds besides is ignored"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[tokio::test]
async fn a_bucket_keeps_what_it_is_given_over_the_s3_protocol() {
    let folder = ScratchFolder::new();
    let endpoint = s3_server(&folder).await;
    let objects = Objects::open("s3://almanac/some/prefix", with_secret(&endpoint, "a secret")).unwrap();
    keeps_what_it_is_given(&objects).await;
    assert!(folder.join("almanac/some/prefix/bars").is_dir(), "the prefix of the URL is kept");
}

#[tokio::test]
async fn a_bucket_refuses_a_wrong_secret() {
    let folder = ScratchFolder::new();
    let endpoint = s3_server(&folder).await;
    let objects = Objects::open("s3://almanac", with_secret(&endpoint, "another secret")).unwrap();
    let refused = objects.put("bars", b"open".to_vec(), "csv").await.unwrap_err();
    assert!(matches!(refused, ObjectError::Failed { .. }), "{refused}");
    assert!(!folder.join("almanac/bars").exists());
}

#[tokio::test]
async fn objects_in_memory_and_a_bad_bucket_url() {
    keeps_what_it_is_given(&Objects::open("memory:///", []).unwrap()).await;
    for url in ["ftp://host/x", "not a url", "s3:nothing"] {
        assert!(matches!(Objects::open(url, []), Err(ObjectError::BadUrl { .. })), "{url}");
    }
}
