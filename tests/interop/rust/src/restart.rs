//! The server is restarted below a running app, and the app above a running server.

use std::{io, time::Duration};

use anyhow::{Result, ensure};
use matrix_sdk::{RoomState, ruma::events::room::message::RoomMessageEventContent};
use tokio::time::{sleep, timeout};

use crate::{
    Story,
    people::{self, App, opened, say, shown, texts, until},
};

pub async fn server(mut story: Story) -> Result<Story> {
    let room_id = story.rooms[20].clone();
    let hers = people::room(&story.alice.client, &room_id)?;
    let timeline = story.bob.open(&room_id).await?;
    say(&hers, "before").await?;
    shown(&timeline, "before").await?;
    println!("ask restart");
    tokio::task::spawn_blocking(|| io::stdin().read_line(&mut String::new())).await??;
    say(&hers, "after").await?;
    shown(&timeline, "after").await?;
    story.bob.client.send_queue().set_enabled(true).await;
    timeline
        .send(RoomMessageEventContent::text_plain("still here").into())
        .await?;
    shown(&timeline, "still here").await?;
    let said = texts(&timeline).await;
    ensure!(
        said.ends_with(&["before", "after", "still here"].map(str::to_owned)),
        "{said:?}"
    );
    story.done("a restarted server");
    Ok(story)
}

pub async fn app(story: Story) -> Result<()> {
    let Story {
        base_url,
        folder,
        alice,
        bob,
        rooms,
        since,
        ..
    } = story;
    let names = bob.names();
    // What was answered last is stored once nothing more comes.
    sleep(Duration::from_millis(500)).await;
    let session = bob.close().await?;
    let hers = people::room(&alice.client, &rooms[21])?;
    for text in ["while you", "were away"] {
        say(&hers, text).await?;
    }
    let client = opened(&base_url, &folder.join("bob")).await?;
    client.restore_session(session).await?;
    ensure!(
        client.joined_rooms().len() >= rooms.len(),
        "the store has the rooms"
    );
    let mut updates = client.subscribe_to_all_room_updates();
    let bob = App::start(client).await?;
    let first = timeout(people::PATIENCE, updates.recv()).await??;
    let told: Vec<_> = first.iter_all_room_ids().collect();
    ensure!(
        told == [&rooms[21]],
        "a position that is known tells only what is new, not {told:?}"
    );
    let timeline = bob.open(&rooms[21]).await?;
    until("what was missed", || async {
        let said = texts(&timeline).await;
        Some(()).filter(|()| said.ends_with(&["while you", "were away"].map(str::to_owned)))
    })
    .await?;
    until("the same list", || async {
        Some(()).filter(|()| bob.names().len() == names.len())
    })
    .await?;
    let mut story = Story {
        base_url,
        folder,
        alice,
        bob,
        rooms,
        since,
    };
    story.done("a restarted app");

    let his = story.bob.room(&story.rooms[22])?;
    his.leave().await?;
    until("to have left", || async {
        (his.state() == RoomState::Left).then_some(())
    })
    .await?;
    until("the room to go", || async {
        Some(()).filter(|()| !story.bob.names().contains(&"room 22".to_owned()))
    })
    .await?;
    his.forget().await?;
    story.bob.sync.stop().await;
    story.bob.client.logout().await?;
    ensure!(
        story.bob.client.whoami().await.is_err(),
        "the token is dead"
    );
    story.done("leave and log out");
    story.alice.stop();
    Ok(())
}
