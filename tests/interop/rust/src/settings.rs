//! What surrounds messages: invites, tags and other account data, profiles, push rules, notifications, spaces.

use anyhow::{Context as _, Result, bail, ensure};
use matrix_sdk::{
    RoomState,
    media::{MediaFormat, MediaRequestParameters},
    notification_settings::RoomNotificationMode,
    ruma::{
        api::client::room::create_room::v3::{CreationContent, Request as CreateRoom, RoomPreset},
        events::room::MediaSource,
        profile::{ProfileFieldName, ProfileFieldValue},
        room::RoomType,
        serde::Raw,
    },
    sync::RoomUpdate,
};
use matrix_sdk_ui::{
    notification_client::{
        NotificationClient, NotificationEvent, NotificationProcessSetup, NotificationStatus,
    },
    spaces::SpaceService,
    timeline::RoomExt as _,
};

use tokio::time::timeout;

use crate::{
    Story, list,
    people::{self, say, shown, until},
};

/// A GIF of one pixel.
const PIXEL: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\
    \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

pub async fn invites(story: &mut Story) -> Result<()> {
    let bob = story.bob.client.user_id().context("a user ID")?.to_owned();
    for (name, accepted) in [("wanted", true), ("unwanted", false)] {
        let mut request = CreateRoom::new();
        request.name = Some(name.to_owned());
        request.preset = Some(RoomPreset::PrivateChat);
        request.invite = vec![bob.clone()];
        let hers = story.alice.client.create_room(request).await?;
        let his = until("an invite", || async {
            story
                .bob
                .client
                .get_room(hers.room_id())
                .filter(|room| room.state() == RoomState::Invited)
        })
        .await?;
        until("the invite on the screen", || async {
            Some(()).filter(|()| story.bob.names().iter().any(|each| each == name))
        })
        .await?;
        ensure!(Some(&*his.invite_details().await?.inviter_id) == story.alice.client.user_id());
        if accepted {
            let before = say(&hers, "before you came").await?;
            his.join().await?;
            let timeline = story.bob.open(hers.room_id()).await?;
            say(&hers, "welcome").await?;
            shown(&timeline, "welcome").await?;
            while !timeline.paginate_backwards(20).await? {}
            ensure!(
                timeline.item_by_event_id(&before).await.is_some(),
                "the history is shared"
            );
        } else {
            his.leave().await?;
            until("the invite to go", || async {
                Some(()).filter(|()| !story.bob.names().iter().any(|each| each == name))
            })
            .await?;
        }
    }
    story.done("invites");
    Ok(())
}

pub async fn account(story: &mut Story) -> Result<()> {
    let his = story.bob.room(&story.rooms[5])?;
    his.set_is_favourite(true, Some(0.5)).await?;
    until("a favourite", || async { his.is_favourite().then_some(()) }).await?;
    his.set_is_favourite(false, None).await?;
    until("no favourite", || async {
        (!his.is_favourite()).then_some(())
    })
    .await?;
    his.set_unread_flag(true).await?;
    until("a mark of unread", || async {
        his.is_marked_unread().then_some(())
    })
    .await?;
    his.set_unread_flag(false).await?;
    until("no mark of unread", || async {
        (!his.is_marked_unread()).then_some(())
    })
    .await?;

    let account = story.bob.client.account();
    let content = serde_json::json!({"n": 1});
    account
        .set_account_data_raw(
            "org.example.test".into(),
            Raw::new(&content)?.cast_unchecked(),
        )
        .await?;
    until("account data", || async {
        let found = account
            .account_data_raw("org.example.test".into())
            .await
            .ok()??;
        found.get_field::<u8>("n").ok()?.filter(|n| *n == 1)
    })
    .await?;

    let alice = story
        .alice
        .client
        .user_id()
        .context("a user ID")?
        .to_owned();
    let room_id = story.rooms[5].clone();
    let hers = people::room(&story.alice.client, &room_id)?;
    // Not by a timeline: the SDK empties them when who is ignored changes.
    let mut updates = his.subscribe_to_updates();
    account.ignore_user(&alice).await?;
    until("to ignore Alice", || async {
        story.bob.client.is_user_ignored(&alice).await.then_some(())
    })
    .await?;
    let unheard = say(&hers, "do you hear me?").await?;
    account.unignore_user(&alice).await?;
    until("to hear Alice", || async {
        (!story.bob.client.is_user_ignored(&alice).await).then_some(())
    })
    .await?;
    let heard = say(&hers, "and now?").await?;
    let mut told = Vec::new();
    while !told.contains(&heard) {
        let update = timeout(people::PATIENCE, updates.recv())
            .await
            .context("Alice is not heard")??;
        if let RoomUpdate::Joined { updates, .. } = update {
            told.extend(
                updates
                    .timeline
                    .events
                    .iter()
                    .filter_map(|event| event.event_id()),
            );
        }
    }
    ensure!(!told.contains(&unheard), "who is ignored is heard");
    story.done("account data");
    Ok(())
}

pub async fn profile(story: &mut Story) -> Result<()> {
    let account = story.alice.client.account();
    let room_id = story.rooms[9].clone();
    let hers = people::room(&story.alice.client, &room_id)?;
    let timeline = story.bob.open(&room_id).await?;
    account.set_display_name(Some("Alice of the rooms")).await?;
    let avatar = account
        .upload_avatar(&"image/gif".parse()?, PIXEL.to_vec())
        .await?;
    say(&hers, "do you know me?").await?;
    shown(&timeline, "do you know me?").await?;
    let his = story.bob.room(&room_id)?;
    until("her name and picture", || async {
        let member = his.get_member_no_sync(hers.own_user_id()).await.ok()??;
        let known = member.display_name() == Some("Alice of the rooms")
            && member.avatar_url() == Some(&*avatar);
        Some(()).filter(|()| known)
    })
    .await?;
    let picture = MediaRequestParameters {
        source: MediaSource::Plain(avatar),
        format: MediaFormat::File,
    };
    ensure!(
        story
            .bob
            .client
            .media()
            .get_media_content(&picture, false)
            .await?
            == PIXEL
    );

    account
        .set_profile_field(ProfileFieldValue::TimeZone("Europe/Berlin".to_owned()))
        .await?;
    let seen = story.bob.client.account();
    let field = seen
        .fetch_profile_field_of(hers.own_user_id().to_owned(), ProfileFieldName::TimeZone)
        .await?;
    ensure!(
        matches!(&field, Some(ProfileFieldValue::TimeZone(zone)) if zone == "Europe/Berlin"),
        "{field:?}"
    );
    account
        .delete_profile_field(ProfileFieldName::TimeZone)
        .await?;
    let left = seen.fetch_user_profile_of(hers.own_user_id()).await?;
    ensure!(left.get("m.tz").is_none() && left.get("displayname").is_some());
    story.done("profile");
    Ok(())
}

pub async fn rules_and_notifications(story: &mut Story) -> Result<()> {
    let room_id = story.rooms[9].clone();
    let (hers, his) = (
        people::room(&story.alice.client, &room_id)?,
        story.bob.room(&room_id)?,
    );
    let notifications = NotificationClient::new(
        story.bob.client.clone(),
        NotificationProcessSetup::SingleProcess {
            sync_service: story.bob.sync.clone(),
        },
    )
    .await?;
    let event_id = say(&hers, "a push came for this").await?;
    match notifications.get_notification(&room_id, &event_id).await? {
        NotificationStatus::Event(item) => {
            ensure!(matches!(item.event, NotificationEvent::Timeline(_)));
            ensure!(
                item.room_computed_display_name == "room 09",
                "{}",
                item.room_computed_display_name
            );
            ensure!(item.sender_display_name.as_deref() == Some("Alice of the rooms"));
            ensure!(item.joined_members_count == 2 && !item.is_direct_message_room);
            ensure!(item.is_noisy == Some(true), "a room of two makes a noise");
        }
        other => bail!("no notification but {other:?}"),
    }
    let long_ago = story.rooms[3].clone();
    let pages = people::room(&story.alice.client, &long_ago)?
        .timeline()
        .await?;
    while !pages.paginate_backwards(50).await? {}
    let old = shown(&pages, "history 4").await?;
    let old = old.event_id().context("an event ID")?;
    match notifications
        .get_notification_with_context(&long_ago, old)
        .await?
    {
        NotificationStatus::Event(_) => (),
        other => bail!("no notification of long ago but {other:?}"),
    }
    drop(pages);

    let settings = story.bob.client.notification_settings().await;
    settings
        .set_room_notification_mode(&room_id, RoomNotificationMode::Mute)
        .await?;
    until("a muted room", || async {
        his.user_defined_notification_mode()
            .await
            .filter(|mode| *mode == RoomNotificationMode::Mute)
    })
    .await?;
    let silent = say(&hers, "nobody is told").await?;
    until("nothing to tell", || async {
        let found = notifications
            .get_notification(&room_id, &silent)
            .await
            .ok()?;
        Some(()).filter(|()| matches!(found, NotificationStatus::EventFilteredOut))
    })
    .await?;
    settings
        .set_room_notification_mode(&room_id, RoomNotificationMode::MentionsAndKeywordsOnly)
        .await?;
    settings.add_keyword("plexus".to_owned()).await?;
    let loud = say(&hers, "what of Plexus?").await?;
    until("a keyword", || async {
        let found = notifications.get_notification(&room_id, &loud).await.ok()?;
        Some(()).filter(|()| matches!(found, NotificationStatus::Event(_)))
    })
    .await?;
    settings.delete_user_defined_room_rules(&room_id).await?;
    settings.remove_keyword("plexus").await?;
    until("the rules of the server", || async {
        let rules = story.bob.client.account().push_rules().await.ok()?;
        Some(()).filter(|()| rules.content.iter().all(|rule| rule.pattern != "plexus"))
    })
    .await?;
    story.done("push rules and notifications");
    Ok(())
}

pub async fn spaces(story: &mut Story) -> Result<()> {
    let mut request = CreateRoom::new();
    request.name = Some("the house".to_owned());
    request.preset = Some(RoomPreset::PublicChat);
    let mut creation = CreationContent::new();
    creation.room_type = Some(RoomType::Space);
    request.creation_content = Some(Raw::new(&creation)?);
    let house = story.alice.client.create_room(request).await?;
    let her_spaces = SpaceService::new(story.alice.client.clone()).await;
    until("her space", || async {
        her_spaces.get_space_room(house.room_id()).await
    })
    .await?;
    for room_id in &story.rooms[..4] {
        her_spaces
            .add_child_to_space(room_id.clone(), house.room_id().to_owned())
            .await?;
    }
    let aside = list::create(&story.alice, "an unjoined room").await?;
    aside.sync_up().await;
    her_spaces
        .add_child_to_space(aside.room_id().to_owned(), house.room_id().to_owned())
        .await?;

    let preview = story
        .bob
        .client
        .get_room_preview(house.room_id().into(), vec![])
        .await?;
    ensure!(
        preview.name.as_deref() == Some("the house") && preview.room_type == Some(RoomType::Space)
    );
    story.bob.client.join_room_by_id(house.room_id()).await?;
    let spaces = SpaceService::new(story.bob.client.clone()).await;
    until("the space", || async {
        let found = spaces.top_level_joined_spaces().await;
        Some(()).filter(|()| found.len() == 1 && found[0].children_count == 5)
    })
    .await?;
    let rooms = spaces.space_room_list(house.room_id().to_owned()).await;
    rooms.paginate().await?;
    let found = rooms.rooms().await;
    ensure!(found.len() == 5, "{found:?}");
    ensure!(
        found
            .iter()
            .filter(|room| room.state == Some(RoomState::Joined))
            .count()
            == 4
    );
    story.done("a space");
    Ok(())
}
