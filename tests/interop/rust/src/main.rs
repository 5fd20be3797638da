//! A story of two people told through matrix-rust-sdk, by the parts that a messenger is made of.
//!
//!     plexus-interop-rust BASE_URL FOLDER
//!
//! Prints `step NAME` once what belongs to it was seen; ends with an error, and what it waited for, at the first
//! that was not. At `restart` it waits for a line on its input: whoever started it has restarted the server then.

#![recursion_limit = "256"] // the futures of the SDK are nested deeply

mod list;
mod people;
mod restart;
mod settings;
mod talk;

use std::{env, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use matrix_sdk::ruma::OwnedRoomId;
use people::{App, Plain};
use tracing_subscriber::{EnvFilter, fmt};

/// Alice syncs by `/v3/sync`, Bob by sliding sync. `rooms` are those that she made and he joined.
pub struct Story {
    pub base_url: String,
    pub folder: PathBuf,
    pub alice: Plain,
    pub bob: App,
    pub rooms: Vec<OwnedRoomId>,
    since: Instant,
}

impl Story {
    pub fn done(&mut self, step: &str) {
        println!("step {step} {}", self.since.elapsed().as_millis());
        self.since = Instant::now();
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let mut arguments = env::args().skip(1);
    let base_url = arguments
        .next()
        .context("usage: plexus-interop-rust BASE_URL FOLDER")?;
    let folder = PathBuf::from(
        arguments
            .next()
            .context("usage: plexus-interop-rust BASE_URL FOLDER")?,
    );

    let mut story = list::begin(base_url, folder).await?;
    list::grows(&mut story).await?;
    talk::live(&mut story).await?;
    talk::history(&mut story).await?;
    talk::relations(&mut story).await?;
    talk::receipts_and_typing(&mut story).await?;
    settings::invites(&mut story).await?;
    settings::account(&mut story).await?;
    settings::profile(&mut story).await?;
    settings::rules_and_notifications(&mut story).await?;
    settings::spaces(&mut story).await?;
    let story = restart::server(story).await?;
    restart::app(story).await
}
