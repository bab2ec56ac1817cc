/** Where a link may lead: to the web, or to somebody's mail. */
export const WEB_ADDRESS = /^(?:https?:\/\/|mailto:)/i;
