/** The WebSocket of the page: what it brings, and how it comes back. */
import { useCallback, useEffect, useRef, useState } from "react";

export interface Note {
  readonly text: string;
  readonly at: string;
  readonly by: string;
}

export interface About {
  readonly version: string;
  readonly installer: string;
  readonly node: string;
}

type Message =
  | (About & { readonly type: "hello"; readonly notes: readonly Note[] })
  | { readonly type: "note"; readonly note: Note }
  | { readonly type: "refused"; readonly why: string };

export interface Live {
  readonly open: boolean;
  readonly about?: About;
  readonly notes: readonly Note[];
  readonly refused: string;
  readonly send: (text: string) => void;
}

const AGAIN = 1000; // milliseconds
const SHOWN = 20;

export function useLive(): Live {
  const [open, setOpen] = useState(false);
  const [about, setAbout] = useState<About>();
  const [notes, setNotes] = useState<readonly Note[]>([]);
  const [refused, setRefused] = useState("");
  const socket = useRef<WebSocket>(undefined);

  useEffect(() => {
    let timer = 0;
    let gone = false;

    function hear(message: Message): void {
      setRefused(message.type === "refused" ? message.why : "");
      if (message.type === "hello") {
        setAbout(message);
        setNotes(message.notes.slice(0, SHOWN));
      } else if (message.type === "note") {
        setNotes((before) => [message.note, ...before].slice(0, SHOWN));
      }
    }

    function connect(): void {
      const made = new WebSocket(`${location.origin.replace("http", "ws")}/ws`);
      made.onopen = () => setOpen(true);
      made.onmessage = (event) => hear(JSON.parse(event.data));
      // Also after a new release: the next connection goes to it.
      made.onclose = () => {
        setOpen(false);
        if (!gone) timer = window.setTimeout(connect, AGAIN);
      };
      socket.current = made;
    }

    connect();
    return () => {
      gone = true;
      window.clearTimeout(timer);
      socket.current?.close();
    };
  }, []);

  const send = useCallback((text: string) => socket.current?.send(JSON.stringify({ text })), []);
  return { open, about, notes, refused, send };
}
