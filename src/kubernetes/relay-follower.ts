import type { FollowElsewhere, RelayNews, RelayRequest, WatchNews } from './relay-news.ts';

export interface RelayFollowerOptions {
  readonly send: (request: RelayRequest) => void;
  readonly now?: () => number;
}

/** The end of a relay that wants to be told. */
export interface RelayFollower {
  readonly followElsewhere: FollowElsewhere;
  readonly take: (news: RelayNews) => void;
  /** The process that watches says nothing: until it does, what is held may be behind. */
  readonly silent: () => void;
  /** It speaks again, and everything that it had to say comes in order. */
  readonly heard: () => void;
}

type PhaseNews = Extract<WatchNews, { readonly type: 'phase' }>;

interface Told {
  readonly told: (news: WatchNews) => void;
  /** As last told by the other process. */
  phase?: PhaseNews;
}

export function createRelayFollower({ send, now = Date.now }: RelayFollowerOptions): RelayFollower {
  const toldByWatch = new Map<number, Told>();
  let lastWatch = 0;
  let isSilent = false;

  return {
    followElsewhere(place, told) {
      lastWatch += 1;
      const watch = lastWatch;
      toldByWatch.set(watch, { told });
      send({ type: 'follow', watch, place });
      return () => {
        if (toldByWatch.delete(watch)) send({ type: 'unfollow', watch });
      };
    },
    take({ watch, news }) {
      const entry = toldByWatch.get(watch);
      // Ended meanwhile.
      if (entry === undefined) return;
      if (news.type === 'phase') entry.phase = news;
      entry.told(news);
    },
    silent() {
      if (isSilent) return;
      isSilent = true;
      const fault = { code: 'timeout', detail: 'the process that watches for all says nothing' } as const;
      for (const { told, phase } of toldByWatch.values()) {
        if (phase?.phase === 'up') told({ type: 'phase', phase: 'down', sinceMs: now(), fault });
      }
    },
    heard() {
      if (!isSilent) return;
      isSilent = false;
      for (const { told, phase } of toldByWatch.values()) if (phase !== undefined) told(phase);
    },
  };
}
