/** The parts of a job's page. */
export const tabs = {
  overview: "Overview",
  contacts: "Contacts",
  settings: "Settings",
  activity: "Activity",
} as const;

export type Tab = keyof typeof tabs;

export const isTab = (word: string): word is Tab => Object.hasOwn(tabs, word) && word !== "overview";
