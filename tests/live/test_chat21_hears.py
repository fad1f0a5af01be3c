"""What a user hears of what agents do, each row of the table in docs/relay.md, by the real Tiledesk with chat21.

Who is there and how it ends: test_chat21_talk.py. tests/unit/test_docs.py sees to it that no row is without a test.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.ask import Outcome
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.responses import ENDED, IDLE, NO_AGENTS, default_text
from rasa_tiledesk.testing import FakeRasa
from stack.chat21 import Chat21Server
from stack.chat_agent import ChatAgent
from stack.tiledesk import LiveProject
from tests.live.own_actions import User, action_server, conversation, endpoints_file
from tests.live.talk import JOINED, PACE, Talk, begun, queued
from tests.waiting import until

pytestmark = pytest.mark.live

row = pytest.mark.row


@row("an agent's text")
def test_thirty_words_reach_the_user_once_in_the_order_of_tiledesk(talk: Talk) -> None:
    words = [f"word {number}" for number in range(30)]
    talk.agent_says(*words)
    until(lambda: len(talk.user.heard()) >= 31, "the agent's words")
    own = [message for message in talk.project.messages(talk.id) if message["sender"] == talk.agent.id]
    stored = [message["text"] for message in sorted(own, key=lambda message: str(message["createdAt"]))]
    assert sorted(stored) == sorted(words)
    assert talk.user.heard() == [JOINED, *stored]


def test_both_write_at_once(talk: Talk) -> None:
    words, answers = [f"word {n}" for n in range(10)], [f"answer {n}" for n in range(10)]
    writing = threading.Thread(target=talk.agent_says, args=words)
    writing.start()
    for answer in answers:
        talk.user.says(answer)
        threading.Event().wait(PACE)
    writing.join()
    talk.agent_heard(*answers)
    until(lambda: len(talk.user.heard()) >= 11, "the agent's words")
    assert sorted(talk.user.heard()) == sorted([JOINED, *words])


@row("a private note")
def test_private_notes_by_all_three_ways_never_reach_the_user(talk: Talk) -> None:
    talk.agent.say_privately(talk.id, "note by the chat")
    dashboard = {"privateFor": talk.agent.id, "subtype": "private"}
    talk.agent.say(talk.id, "note by the dashboard", attributes=dashboard)
    talk.agent.note(talk.id, "note beside it")

    def stored() -> bool:
        return {"note by the chat", "note by the dashboard"} <= {m["text"] for m in talk.project.messages(talk.id)}

    until(stored, "the notes")
    until(talk.is_heard)
    assert talk.user.heard() == []
    talk.agent_says("That is for you")
    talk.agent.say_privately(talk.id, "note behind it")
    talk.agent_says("And that")
    talk.user_heard(JOINED, "That is for you", "And that")


@row("an image")
@row("a file")
def test_a_picture_and_a_file_with_their_own_address(talk: Talk) -> None:
    picture, file = f"{talk.project.url}/images?path=a.png", f"{talk.project.url}/files?path=b.pdf"
    talk.agent.send_image(talk.id, picture)
    threading.Event().wait(PACE)
    talk.agent.send_file(talk.id, file, name="b.pdf")
    until(lambda: len(talk.user.heard()) >= 3, "both")
    assert talk.user.heard()[0] == JOINED
    assert talk.user_saw(picture)
    assert talk.user_read(file)


def test_a_picture_and_a_file_with_relative_addresses(talk: Talk) -> None:
    talk.agent.send_image(talk.id, "/api/images?path=a.png")
    threading.Event().wait(PACE)
    talk.agent.send_file(talk.id, "/api/files?path=b.pdf", name="b.pdf")
    until(lambda: len(talk.user.heard()) >= 3, "both")
    assert talk.user_saw(f"{talk.project.url}/api/images?path=a.png")
    assert talk.user_read(f"{talk.project.url}/api/files?path=b.pdf")


@row("a gallery")
def test_a_gallery(talk: Talk) -> None:
    picture = f"{talk.project.url}/images?path=a.png"
    card = {"preview": {"src": picture}, "title": "A lamp", "description": "of brass", "buttons": []}
    attachment = {"type": "gallery", "gallery": [card]}
    talk.agent.say(talk.id, "", type="gallery", attributes={"attachment": attachment})
    until(lambda: any("A lamp" in text for text in talk.user.heard()), "the card")
    assert talk.user_saw(picture)


@row("an agent's text")
def test_links_and_pictures_in_a_text_lead_to_tiledesk(talk: Talk) -> None:
    talk.agent_says("See [the guide](/api/files?path=guide.pdf) ![](/api/images?path=a.png)")
    url = talk.project.url
    until(lambda: len(talk.user.heard()) >= 2, "the words")
    (words,) = talk.user.messages()[1:]
    assert words["text"] == f"See [the guide]({url}/api/files?path=guide.pdf)"
    assert words["image"] == f"{url}/api/images?path=a.png"


@row("text of type `html`")
def test_html_is_read_as_its_words(talk: Talk) -> None:
    talk.agent.say(talk.id, "<p>We are <b>here</b>:</p><p><a href='https://example.com/map'>Map</a></p>", type="html")
    talk.user_heard(JOINED, "We are here:\n\nMap (https://example.com/map)")


@row("an image")
def test_a_picture_with_words_below_it(talk: Talk) -> None:
    talk.agent.send_image(talk.id, "/api/images?path=a.png", text="That one?")
    until(lambda: len(talk.user.heard()) >= 2, "the picture")
    (picture,) = talk.user.messages()[1:]
    assert (picture["text"], picture["image"]) == ("That one?", f"{talk.project.url}/api/images?path=a.png")


@row("a file, a video, a voice message, a frame")
@pytest.mark.parametrize("kind", ["video", "audio", "frame"])
def test_what_channels_cannot_play_is_a_link(talk: Talk, kind: str) -> None:
    talk.agent.say(talk.id, "Listen", type=kind, metadata={"src": "/api/files?path=a", "name": "a", "type": kind})
    talk.user_heard(JOINED, f"Listen\n{talk.project.url}/api/files?path=a")


@row("buttons")
def test_a_click_says_the_buttons_title_and_links_are_lines(talk: Talk) -> None:
    buttons = [
        {"type": "text", "value": "/transfer_money"},
        {"type": "url", "value": "Our shop", "link": "https://example.com/shop"},
    ]
    attachment = {"type": "template", "buttons": buttons}
    talk.agent.say(talk.id, "Which one?", attributes={"attachment": attachment})
    talk.user_heard(JOINED, "Which one?\nOur shop: https://example.com/shop")
    (words,) = talk.user.messages()[1:]
    assert [button["title"] for button in words["buttons"]] == ["/transfer_money"]
    assert not words["buttons"][0]["payload"].startswith("/")


@row("what none of this can show")
def test_of_what_cannot_be_shown_the_agent_is_told(talk: Talk) -> None:
    talk.agent.say(talk.id, "", type="image", metadata={"src": "blob:nothing", "width": 1, "height": 1})
    talk.agent_was_told("could not be shown to the user")
    talk.agent_says("Did you see it?")
    talk.user_heard(JOINED, "Did you see it?")


@row("lines of bots and of the system")
def test_lines_of_bots_and_info_lines_are_none_for_the_user(talk: Talk) -> None:
    talk.project.agent_says(talk.id, "A bot's line", sender=f"bot_{talk.project.bot[0]}")
    talk.project.agent_says(talk.id, "The system's", sender="system")
    talk.project.agent_says(talk.id, "An info line", attributes={"subtype": "info"})
    until(lambda: talk.has_line("MEMBER_JOINED_GROUP", talk.agent.id), "chat21's line")
    until(talk.is_heard)
    talk.agent_says("A person's")
    talk.user_heard(JOINED, "A person's")


@row("words in the name of somebody who takes no part")
def test_of_words_in_a_strangers_name_agents_are_told(talk: Talk, bea: ChatAgent) -> None:
    talk.project.agent_says(talk.id, "I am Bea", sender=bea.id)
    talk.agent_was_told("who wrote it takes no part in this conversation")
    talk.agent_says("I am Olive")
    talk.user_heard(JOINED, "I am Olive")


@row("one of several agents leaves, or the last one")
def test_the_last_agents_words_before_leaving_are_heard(talk: Talk) -> None:
    talk.agent_says("I have to go")
    talk.agent.leave(talk.id)
    until(lambda: talk.has_line("MEMBER_LEFT_GROUP", talk.agent.id), "that nobody is there")
    talk.user_heard(JOINED, "I have to go")
    until(talk.is_heard)
    talk.user_heard(JOINED, "I have to go")


@row("the request goes to another department or agent")
def test_another_agent_has_it(talk: Talk, bea: ChatAgent) -> None:
    talk.agent_says("Bea knows that")
    talk.agent.give_to(talk.id, bea)
    until(lambda: talk.has_line("MEMBER_JOINED_GROUP", bea.id), "chat21's line")
    talk.user_heard(JOINED, "Bea knows that")
    talk.agent_says("I do", who=bea)
    talk.user_heard(JOINED, "Bea knows that", "I do")


@row("an agent opens it again within a day and writes")
def test_a_user_who_has_a_newer_handoff_hears_nothing_of_the_one_opened_again(talk: Talk) -> None:
    talk.agent.close(talk.id)
    talk.user_heard(default_text(ENDED))
    newer = begun(talk.user, talk.project, talk.agent)
    talk.agent.reopen(talk.id)
    talk.agent_says("One more thing")
    talk.agent_was_told("they have gone on without this conversation")
    newer.agent_says("Hello again")
    talk.user_heard(default_text(ENDED), JOINED, "Hello again")


@row("the request is deleted")
def test_a_request_that_is_deleted_has_ended_when_it_is_looked_at(talk: Talk) -> None:
    talk.project.delete_request(talk.id)
    talk.user.server.ledger.handoffs.hint(talk.id)  # as the hourly look at each conversation does
    talk.user_heard(default_text(ENDED))
    assert not talk.user.rasa.paused(talk.user.id)


@row("the request is deleted")
def test_who_writes_into_a_deleted_request_opens_it_anew_and_is_answered(talk: Talk) -> None:
    talk.project.delete_request(talk.id)
    talk.user.says("Hello?")
    talk.agent_heard("Hello?")
    talk.agent_says("Here I am")
    talk.user_heard(JOINED, "Here I am")


@row("silence for `idle_limit`")
def test_silence_is_warned_of_then_ends_it(
    tmp_path: Path, rasa: FakeRasa, chat21_project: LiveProject, chat21_agent: ChatAgent
) -> None:
    endpoints = endpoints_file(tmp_path, chat21_project, rasa, relay={"idle_limit": 8})
    with action_server(endpoints) as parts:
        talk = begun(User(rasa, parts), chat21_project, chat21_agent)
        talk.user_heard(default_text(IDLE))
        talk.user_heard(default_text(IDLE), default_text(ENDED))
        until(lambda: talk.user.server.desk.request(talk.id).closed, "the close")


class TestNobodyThere:
    @row("nobody comes for `wait_limit`")
    def test_who_waited_long_enough_is_back_with_the_bot(
        self, tmp_path: Path, rasa: FakeRasa, chat21: Chat21Server
    ) -> None:
        with queued(tmp_path, rasa, chat21, wait_limit={"after": 3, "then": "return"}) as talk:
            talk.user_heard(default_text(NO_AGENTS))
            assert not talk.user.rasa.paused(talk.user.id)
            until(lambda: talk.user.server.desk.request(talk.id).closed, "the close")

    @row("nobody is free")
    def test_who_is_refused_stays_with_the_bot(self, tmp_path: Path, rasa: FakeRasa, chat21: Chat21Server) -> None:
        project = chat21.bootstrap()
        project.set_available(project.owner_id, False)
        with action_server(endpoints_file(tmp_path, project, rasa, availability={"nobody": "refuse"})) as parts:

            def outcome() -> Outcome:
                user = User(rasa, parts).has_said(conversation(3))
                return parts.asking.ask(Ask(user.id, rasa.events(user.id), {}, "callback"), Deadline(8)).outcome

            assert outcome() is Outcome.NO_AGENTS  # by which the action says utter_tiledesk_no_agents
            project.set_open(False)
            assert outcome() is Outcome.CLOSED_HOURS
            assert project.requests() == []
