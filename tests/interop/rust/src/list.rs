//! Two people, and a room list that is read in windows and sorted by what happened last.

use std::{fs, path::PathBuf, process, time::Instant};

use anyhow::{Result, ensure};
use matrix_sdk::{
    Room,
    ruma::api::client::{
        room::create_room::v3::{Request as CreateRoom, RoomPreset},
        session::get_login_types::v3::LoginType,
    },
};

use crate::{
    Story,
    people::{self, App, Plain, logged_in, registered, say, until},
};

/// More than the window of 20 that the list begins with.
const ROOMS: usize = 45;

/// Steps that visit all rooms in an order that is neither theirs nor its reverse.
const STRIDE: usize = 17;

fn named(number: usize) -> String {
    format!("room {number:02}")
}

pub async fn create(alice: &Plain, name: &str) -> Result<Room> {
    let mut request = CreateRoom::new();
    request.name = Some(name.to_owned());
    request.preset = Some(RoomPreset::PublicChat);
    Ok(alice.client.create_room(request).await?)
}

pub async fn begin(base_url: String, folder: PathBuf) -> Result<Story> {
    let since = Instant::now();
    let suffix = format!(
        "{:x}{:x}",
        process::id(),
        fs::metadata(&folder)?.modified()?.elapsed()?.as_micros()
    );
    let (alice, bob) = (format!("alice-{suffix}"), format!("bob-{suffix}"));
    registered(&base_url, &alice).await?;
    registered(&base_url, &bob).await?;
    let alice = logged_in(&base_url, &folder.join("alice"), &alice).await?;
    let bob = logged_in(&base_url, &folder.join("bob"), &bob).await?;

    let flows = bob.matrix_auth().get_login_types().await?.flows;
    ensure!(
        flows
            .iter()
            .any(|flow| matches!(flow, LoginType::Password(_))),
        "no login by password: {flows:?}"
    );
    ensure!(bob.whoami().await?.device_id.as_deref() == bob.device_id());
    let capabilities = bob.homeserver_capabilities();
    ensure!(
        capabilities.can_change_displayname().await? && capabilities.can_change_avatar().await?
    );
    ensure!(capabilities.room_versions().await?.available.len() >= 12);

    let alice = Plain::start(alice);
    let mut rooms = Vec::new();
    for number in 0..ROOMS {
        let room = create(&alice, &named(number)).await?;
        bob.join_room_by_id(room.room_id()).await?;
        rooms.push(room.room_id().to_owned());
    }
    for turn in 0..ROOMS {
        let number = turn * STRIDE % ROOMS;
        let room = until("a room of Alice's", || async {
            alice.client.get_room(&rooms[number])
        })
        .await?;
        say(&room, &format!("this is {}", named(number))).await?;
    }
    let bob = App::start(bob).await?;
    let mut story = Story {
        base_url,
        folder,
        alice,
        bob,
        rooms,
        since,
    };
    story.done("two people");
    Ok(story)
}

pub async fn grows(story: &mut Story) -> Result<()> {
    let newest_first: Vec<_> = (0..ROOMS)
        .rev()
        .map(|turn| named(turn * STRIDE % ROOMS))
        .collect();
    until("all rooms", || async {
        Some(()).filter(|()| story.bob.names().len() == ROOMS)
    })
    .await?;
    let sorted = until("the order of the last messages", || async {
        Some(()).filter(|()| story.bob.names() == newest_first)
    });
    if let Err(error) = sorted.await {
        anyhow::bail!("{error}: {:?}, not {newest_first:?}", story.bob.names());
    }
    story.done("the room list");

    let room = people::room(&story.alice.client, &story.rooms[ROOMS / 2])?;
    say(&room, "to the top").await?;
    until("a room to rise", || async {
        Some(()).filter(|()| story.bob.names()[0] == named(ROOMS / 2))
    })
    .await?;
    story.done("recency");
    Ok(())
}
