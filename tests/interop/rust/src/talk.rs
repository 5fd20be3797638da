//! Messages: live, from before, edited, reacted to, in threads, redacted; receipts and typing.

use anyhow::{Context as _, Result, ensure};
use matrix_sdk::{
    room::edit::EditedContent,
    ruma::{
        api::client::{
            receipt::create_receipt::v3::ReceiptType,
            threads::{subscribe_thread, unsubscribe_thread},
        },
        events::room::message::{RoomMessageEventContent, RoomMessageEventContentWithoutRelation},
    },
    store::ThreadSubscriptionStatus,
};
use matrix_sdk_ui::timeline::{RoomExt as _, TimelineFocus};

use crate::{
    Story,
    people::{self, messages, say, shown, text, texts, until},
};

pub async fn live(story: &mut Story) -> Result<()> {
    let room_id = story.rooms[7].clone();
    let hers = people::room(&story.alice.client, &room_id)?;
    let timeline = story.bob.open(&room_id).await?;
    say(&hers, "are you there?").await?;
    let question = shown(&timeline, "are you there?").await?;
    ensure!(question.sender() == hers.own_user_id());
    story.done("receive");

    let her_timeline = hers.timeline().await?;
    timeline
        .send(RoomMessageEventContent::text_plain("I am").into())
        .await?;
    let answer = shown(&timeline, "I am").await?;
    let received = shown(&her_timeline, "I am").await?;
    ensure!(answer.event_id() == received.event_id() && answer.is_own() && !received.is_own());
    say(&hers, "good").await?;
    shown(&timeline, "good").await?;
    let said = texts(&timeline).await;
    ensure!(
        said.ends_with(&["are you there?", "I am", "good"].map(str::to_owned)),
        "{said:?}"
    );
    story.done("send");
    Ok(())
}

pub async fn history(story: &mut Story) -> Result<()> {
    let room_id = story.rooms[3].clone();
    let hers = people::room(&story.alice.client, &room_id)?;
    let mut expected = vec!["this is room 03".to_owned()];
    for number in 0..130 {
        let message = format!("history {number}");
        say(&hers, &message).await?;
        expected.push(message);
    }
    let timeline = story.bob.open(&room_id).await?;
    shown(&timeline, "history 129").await?;
    let mut pages = 0;
    while !timeline.paginate_backwards(40).await? {
        pages += 1;
        ensure!(pages < 50, "the history has no beginning");
    }
    let said = texts(&timeline).await;
    ensure!(said == expected, "not all, or not in order: {said:?}");
    story.done("history");
    Ok(())
}

pub async fn relations(story: &mut Story) -> Result<()> {
    let room_id = story.rooms[7].clone();
    let hers = people::room(&story.alice.client, &room_id)?;
    let her_timeline = hers.timeline().await?;
    let timeline = story.bob.open(&room_id).await?;

    timeline
        .send(RoomMessageEventContent::text_plain("frist").into())
        .await?;
    let typo = shown(&timeline, "frist").await?;
    let corrected =
        EditedContent::RoomMessage(RoomMessageEventContentWithoutRelation::text_plain("first"));
    timeline.edit(&typo.identifier(), corrected).await?;
    let edited = shown(&her_timeline, "first").await?;
    ensure!(
        edited
            .content()
            .as_message()
            .is_some_and(|message| message.is_edited())
    );
    story.done("an edit");

    her_timeline
        .toggle_reaction(&edited.identifier(), "👍")
        .await?;
    let reactions = || async {
        let item = messages(&timeline)
            .await
            .into_iter()
            .find(|item| item.event_id() == edited.event_id())?;
        Some(item.content().reactions().map_or(0, |reactions| {
            reactions.values().map(|by| by.len()).sum::<usize>()
        }))
    };
    until("a reaction", || async {
        reactions().await.filter(|count| *count == 1)
    })
    .await?;
    her_timeline
        .toggle_reaction(&edited.identifier(), "👍")
        .await?;
    until("a reaction taken back", || async {
        reactions().await.filter(|count| *count == 0)
    })
    .await?;
    story.done("a reaction");

    let root = say(&hers, "let us talk of this elsewhere").await?;
    shown(&timeline, "let us talk of this elsewhere").await?;
    let focus = TimelineFocus::Thread {
        root_event_id: root.clone(),
    };
    let thread = story
        .bob
        .room(&room_id)?
        .timeline_builder()
        .with_focus(focus.clone())
        .build()
        .await?;
    let her_thread = hers.timeline_builder().with_focus(focus).build().await?;
    for number in 0..3 {
        thread
            .send(RoomMessageEventContent::text_plain(format!("aside {number}")).into())
            .await?;
        shown(&her_thread, &format!("aside {number}")).await?;
    }
    until("a thread's summary", || async {
        let item = messages(&her_timeline)
            .await
            .into_iter()
            .find(|item| item.event_id() == Some(&root))?;
        item.content()
            .thread_summary()
            .filter(|summary| summary.num_replies == 3)
    })
    .await?;
    let again = hers
        .timeline_builder()
        .with_focus(TimelineFocus::Thread {
            root_event_id: root.clone(),
        })
        .build()
        .await?;
    while !again.paginate_backwards(2).await? {}
    let said = texts(&again).await;
    ensure!(
        said == [
            "let us talk of this elsewhere",
            "aside 0",
            "aside 1",
            "aside 2"
        ],
        "{said:?}"
    );
    let threads = hers.list_threads(Default::default()).await?;
    ensure!(
        threads
            .chunk
            .iter()
            .any(|event| event.event_id().as_ref() == Some(&root)),
        "the thread is not listed"
    );
    story.done("a thread");

    // Bob's SDK has subscribed him when he wrote. What another device of his does comes by sliding sync.
    let bob = story.bob.client.clone();
    let subscribed = || async {
        let found = bob
            .state_store()
            .load_thread_subscription(&room_id, &root)
            .await;
        found
            .ok()?
            .map(|found| matches!(found.status, ThreadSubscriptionStatus::Subscribed { .. }))
    };
    let request = unsubscribe_thread::unstable::Request::new(room_id.clone(), root.clone());
    bob.send(request).await?;
    until("no subscription", || async {
        subscribed().await.filter(|yes| !yes)
    })
    .await?;
    let request = subscribe_thread::unstable::Request::new(room_id.clone(), root.clone(), None);
    bob.send(request).await?;
    until("a subscription", || async {
        subscribed().await.filter(|yes| *yes)
    })
    .await?;
    story.done("a thread's subscription");

    let item = shown(&timeline, "I am").await?;
    timeline.redact(&item.identifier(), Some("a test")).await?;
    for timeline in [&timeline, &her_timeline] {
        until("a redaction", || async {
            let items = timeline.items().await;
            let found = items
                .iter()
                .filter_map(|each| each.as_event())
                .find(|each| each.event_id() == item.event_id());
            found
                .is_some_and(|each| each.content().is_redacted())
                .then_some(())
        })
        .await?;
    }
    story.done("a redaction");
    Ok(())
}

pub async fn receipts_and_typing(story: &mut Story) -> Result<()> {
    let room_id = story.rooms[11].clone();
    let (hers, his) = (
        people::room(&story.alice.client, &room_id)?,
        story.bob.room(&room_id)?,
    );
    let her_timeline = hers.timeline().await?;
    let timeline = story.bob.open(&room_id).await?;
    for text in ["one", "two", "three"] {
        say(&hers, text).await?;
    }
    let last = shown(&timeline, "three").await?;
    let unread = || async { Some(his.unread_notification_counts().notification_count) };
    until("what is unread", || async {
        unread().await.filter(|count| *count > 2)
    })
    .await?;
    ensure!(
        timeline.mark_as_read(ReceiptType::Read).await?,
        "no receipt was sent"
    );
    until("all to be read", || async {
        unread().await.filter(|count| *count == 0)
    })
    .await?;
    until("Bob's receipt", || async {
        let event_id = her_timeline
            .latest_user_read_receipt(his.own_user_id())
            .await?
            .0;
        Some(()).filter(|()| Some(&*event_id) == last.event_id())
    })
    .await?;

    timeline
        .send(RoomMessageEventContent::text_plain("four").into())
        .await?;
    let four = shown(&her_timeline, "four").await?;
    let four = four.event_id().context("an event ID")?;
    her_timeline.mark_as_read(ReceiptType::Read).await?;
    until("Alice's receipt", || async {
        let event_id = timeline
            .latest_user_read_receipt(hers.own_user_id())
            .await?
            .0;
        Some(()).filter(|()| *event_id == *four)
    })
    .await?;
    let items = messages(&timeline).await;
    let read = items
        .iter()
        .find(|item| text(item) == "four")
        .context("the message")?;
    ensure!(
        read.read_receipts().contains_key(hers.own_user_id()),
        "the receipt is not beside its message"
    );
    story.done("receipts");

    let (_guard, mut typing) = his.subscribe_to_typing_notifications();
    hers.typing_notice(true).await?;
    let typists = tokio::time::timeout(people::PATIENCE, typing.recv())
        .await
        .context("nobody types")??;
    ensure!(typists == [hers.own_user_id()], "{typists:?}");
    hers.typing_notice(false).await?;
    let typists = tokio::time::timeout(people::PATIENCE, typing.recv())
        .await
        .context("who types does not stop")??;
    ensure!(typists.is_empty(), "{typists:?}");
    story.done("typing");
    Ok(())
}
