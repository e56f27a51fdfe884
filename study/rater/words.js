// The page's own texts. Those of a study come from its definition.

const en = {
  gap: " ", // between sentences

  agree: "I agree, begin",
  questions: "A few questions about you",
  required: "required",
  optional: "optional",
  next: "Next",
  back: "Back",
  close: "Close",
  reload: "Load again",
  retry: "Try again",

  check: "Can you see videos?",
  checkText: "Two videos play below. Which number appears in both?",
  checkWrong: "That is not the number. Please look again: it appears after about a second.",
  checkPress: "Press Play to start the videos.",
  checkTrouble: "A video did not load. The page tries again by itself.",
  checkSlow: "The videos are loading slowly. You can wait or try again.",
  checkCannot: "I see no video",
  checkHelp: "The study needs videos. Another browser may help, or a computer instead of a " +
    "phone. Energy saving can stop videos too.",
  checkGoOn: "Go on all the same",
  checkAgain: "Check again",

  how: "How it works",
  keys: "With a keyboard: 1 to 5 gives a score and moves on, Tab goes to the next scale, Enter " +
    "to the next page, R plays the videos again.",
  start: "Start",
  practice: "Practice",
  page: (n, total) => `Page ${n} of ${total}`,
  label: "Class label",
  references: "Real examples of this movement (press one to enlarge it)",
  example: "Real example of this movement",
  enlarge: "Enlarge",
  notLoadedShort: "Not loaded",
  referenceFailed: "This example did not load. Press to try again.",

  left: "Left video",
  right: "Right video",
  only: "Video",
  leftShort: "Left",
  rightShort: "Right",
  onlyShort: "Video",
  play: "Play",
  replay: "Play again",
  loading: "Loading the videos…",
  locked: "Scores open when the videos have been seen to the end.",
  lockedOne: "Scores open when the video has been seen to the end.",
  unlocked: "You can score now.",
  tie: "no difference",
  missing: (n) => (n === 1 ? "1 scale is still open." : `${n} scales are still open.`),
  hint: (low, high) => `${low}–${high} would fit here`,
  hintOne: (score) => `${score} would fit here`,
  waiting: "Waiting for your answers to be saved…",

  slowVideos: (percent) =>
    `The videos are loading slowly (${percent} %). You can wait, or skip this page.`,
  videoTrouble: (kind, which) => {
    const video = {
      left: "The left video", right: "The right video", both: "The videos", only: "The video",
    }[which];
    const what = { load: "did not load", play: "could not be played", stop: "stopped" }[kind];
    return `${video} ${what}. The page tries again by itself. You can also skip this page.`;
  },
  skipPage: "Skip this page",
  trouble: "A video does not play",
  troubled: "A video does not play?",
  troubleText: "You can go on without scoring this page. What do you see?",
  troubleBlack: "a black or grey picture",
  troubleStops: "a video that stops",
  troubleNothing: "nothing at all",
  troubleGo: "Go on without scores",
  skipsLeft: (n) => {
    if (!n) {
      return "You have skipped as many pages as the study allows. If you skip this one too, you " +
        "get no code.";
    }
    return n === 1 ? "You can skip 1 page and still get your code."
      : `You can skip ${n} pages and still get your code.`;
  },
  skipped: "You skipped this page because a video did not play. You can still score it.",

  // The status line.
  saving: "Saving…",
  saved: "All answers are saved.",
  slow: "Waiting for the server…",
  causes: {
    offline: "No connection.",
    server: "The server is not working properly right now.",
    storage: "The server cannot store answers right now.",
  },
  failed: {
    study: "The study could not be loaded.",
    session: "Your place in the study could not be loaded.",
    enter: "Your agreement could not be sent.",
    questions: "Your replies could not be sent.",
    playback: "The result of the video check could not be sent.",
    page: "The page could not be loaded.",
    open: "The scales could not be opened.",
    cannotPlay: "Your report about the video could not be sent.",
    answers: "Your latest scores could not be sent.",
    finish: "Your code could not be fetched.",
    withdraw: "Your withdrawal could not be sent, so nothing is deleted yet.",
  },
  safe: "Nothing you have given is lost.",
  kept: "Your answers are kept on this device.",
  safeOf: {
    questions: "They stay on this page, so please keep it open.",
    withdraw: "", // the dialog over the page says it
  },
  goesOn: "The page tries again by itself.",
  refused: (n) => `The server did not accept ${n === 1 ? "1 score" : `${n} scores`}. ` +
    "The page shows what is stored; please score what is missing again.",
  tooLate: (n) => `The study was closed before ${n === 1 ? "1 score" : `${n} scores`} could be ` +
    "stored, so they are not counted. Everything before is saved.",
  broken: (message) => `This page has an error (${message}). What you saved is safe. Please load ` +
    "the page again; if that does not help, use another browser.",

  done: "Done",
  code: "Your code",
  copy: "Copy",
  copied: "Copied.",
  notCopied: "The browser did not allow copying. The code is selected: please copy it by hand.",
  toProlific: "Return to Prolific",
  counted: (skipped) => {
    if (!skipped) return "All answers are counted.";
    const pages = skipped === 1 ? "1 page" : `${skipped} pages`;
    return `You skipped ${pages}. The scores you gave are counted.`;
  },
  notEnough: (skipped, most) => `You skipped ${skipped} pages. The study allows at most ` +
    `${most}, so there is no code. If videos did not play, please write to the people who run ` +
    "the study.",

  withdraw: "Withdraw from the study",
  withdrawText: "This deletes everything you gave us, for good. You get a receipt.",
  withdrawYes: "Delete my answers",
  withdrawNo: "Stay in the study",
  withdrawing: "Deleting your answers…",
  withdrawingText: "Please keep this page open until you see the receipt.",
  withdrawn: "You have withdrawn",
  receipt: (n) => (n === 1 ? "1 answer was deleted." : `${n} answers were deleted.`),
  receiptNumber: "Your receipt",
  receiptLost: "Your answers are deleted. The receipt was lost on its way.",

  refusals: {
    closed: "This study is closed and takes no more answers. Thank you for your interest.",
    full: "This study has all the people it needs. Thank you for your interest.",
    withdrawn: "You withdrew from this study, and your answers are deleted.",
    no_session: "This device does not know you any more. Please open the study by its link again.",
    no_way_in: "Please open the study by the link you were given.",
    unknown_invite: "This invitation is not known. Please check that you copied the whole link.",
  },
};

const zh = {
  gap: "",

  agree: "我同意，开始",
  questions: "关于您的几个问题",
  required: "必填",
  optional: "选填",
  next: "下一页",
  back: "上一页",
  close: "关闭",
  reload: "重新加载",
  retry: "重试",

  check: "您能看到视频吗？",
  checkText: "下面会播放两段视频。两段视频里出现的是哪个数字？",
  checkWrong: "不是这个数字。请再看一遍：大约一秒后出现。",
  checkPress: "请按“播放”开始播放视频。",
  checkTrouble: "有视频未能加载。页面会自动重试。",
  checkSlow: "视频加载较慢。您可以等待或重试。",
  checkCannot: "我看不到视频",
  checkHelp: "参加本研究需要能看到视频。可以换一个浏览器，或用电脑代替手机。省电模式也可能停止播放。",
  checkGoOn: "仍然继续",
  checkAgain: "重新检查",

  how: "怎样评分",
  keys: "键盘操作：按 1 到 5 打分并跳到下一项，Tab 切换到下一项，Enter 进入下一页，R 重播视频。",
  start: "开始",
  practice: "练习",
  page: (n, total) => `第 ${n} 页，共 ${total} 页`,
  label: "动作类别",
  references: "该动作的真实示例（点按可放大）",
  example: "该动作的真实示例",
  enlarge: "放大",
  notLoadedShort: "未加载",
  referenceFailed: "该示例未能加载。点按重试。",

  left: "左侧视频",
  right: "右侧视频",
  only: "视频",
  leftShort: "左",
  rightShort: "右",
  onlyShort: "视频",
  play: "播放",
  replay: "重播",
  loading: "正在加载视频……",
  locked: "看完两段视频后即可打分。",
  lockedOne: "看完视频后即可打分。",
  unlocked: "现在可以打分了。",
  tie: "没有差别",
  missing: (n) => `还有 ${n} 项没有打分。`,
  hint: (low, high) => `此处 ${low}–${high} 分合适`,
  hintOne: (score) => `此处 ${score} 分合适`,
  waiting: "正在等待回答保存……",

  slowVideos: (percent) => `视频加载较慢（${percent}%）。您可以等待，或跳过这一页。`,
  videoTrouble: (kind, which) => {
    const video = { left: "左侧视频", right: "右侧视频", both: "两段视频", only: "视频" }[which];
    const what = { load: "未能加载", play: "无法播放", stop: "停住了" }[kind];
    return `${video}${what}。页面会自动重试。您也可以跳过这一页。`;
  },
  skipPage: "跳过这一页",
  trouble: "视频无法播放",
  troubled: "视频无法播放？",
  troubleText: "您可以不打分而继续。您看到的是什么？",
  troubleBlack: "黑色或灰色画面",
  troubleStops: "视频中途停住",
  troubleNothing: "什么都没有",
  troubleGo: "不打分，继续",
  skipsLeft: (n) => (n ? `您还可以跳过 ${n} 页，仍能得到完成码。`
    : "您跳过的页数已达到本研究的上限。再跳过一页就没有完成码了。"),
  skipped: "因为视频无法播放，您跳过了这一页。现在仍可以打分。",

  saving: "正在保存……",
  saved: "所有回答均已保存。",
  slow: "正在等待服务器……",
  causes: {
    offline: "没有网络连接。",
    server: "服务器暂时出现问题。",
    storage: "服务器暂时无法保存回答。",
  },
  failed: {
    study: "研究未能加载。",
    session: "您的进度未能加载。",
    enter: "您的同意未能发送。",
    questions: "您的回答未能发送。",
    playback: "视频检查的结果未能发送。",
    page: "页面未能加载。",
    open: "评分未能开启。",
    cannotPlay: "您关于视频的反馈未能发送。",
    answers: "您最近的打分未能发送。",
    finish: "您的完成码未能取得。",
    withdraw: "您的退出请求未能发送，因此尚未删除任何内容。",
  },
  safe: "您提交的内容不会丢失。",
  kept: "您的回答保存在本机。",
  safeOf: {
    questions: "回答保留在本页，请不要关闭页面。",
    withdraw: "",
  },
  goesOn: "页面会自动重试。",
  refused: (n) => `服务器没有接受 ${n} 项打分。页面显示的是已保存的内容，请重新打缺少的分。`,
  tooLate: (n) => `研究结束前有 ${n} 项打分未能保存，因此不计入。之前的内容均已保存。`,
  broken: (message) => `页面出错（${message}）。您已保存的内容不会丢失。请重新加载页面；如果仍不行，请换一个浏览器。`,

  done: "完成",
  code: "您的完成码",
  copy: "复制",
  copied: "已复制。",
  notCopied: "浏览器不允许复制。完成码已选中，请手动复制。",
  toProlific: "返回 Prolific",
  counted: (skipped) => (skipped ? `您跳过了 ${skipped} 页。您打的分均已计入。` : "所有回答均已计入。"),
  notEnough: (skipped, most) => `您跳过了 ${skipped} 页；本研究最多允许跳过 ${most} 页，因此没有完成码。` +
    "如果视频无法播放，请联系研究人员。",

  withdraw: "退出本研究",
  withdrawText: "这将永久删除您提供的全部内容，并给您一份回执。",
  withdrawYes: "删除我的回答",
  withdrawNo: "继续参加",
  withdrawing: "正在删除您的回答……",
  withdrawingText: "看到回执之前请不要关闭页面。",
  withdrawn: "您已退出",
  receipt: (n) => `已删除 ${n} 条回答。`,
  receiptNumber: "您的回执",
  receiptLost: "您的回答已删除，但回执在途中丢失。",

  refusals: {
    closed: "本研究已结束，不再接收回答。感谢您的关注。",
    full: "本研究的参加人数已满。感谢您的关注。",
    withdrawn: "您已退出本研究，您的回答已删除。",
    no_session: "本机已没有您的记录。请重新打开研究链接。",
    no_way_in: "请通过您收到的链接打开本研究。",
    unknown_invite: "无法识别此邀请。请检查链接是否复制完整。",
  },
};

export const wordsFor = (language) => (language.startsWith("zh") ? zh : en);

const RIGHT_TO_LEFT = /^(ar|arc|ckb|dv|fa|he|iw|ji|ks|nqo|ps|sd|syr|ug|ur|yi)$/;
const SCRIPTS_RIGHT_TO_LEFT = /^(adlm|arab|aran|hebr|mand|nkoo|rohg|samr|syrc|thaa)$/;

// The direction in which a language is written: "ltr" or "rtl". Its script decides, where the code
// names one (az-Arab, ur-Latn).
export function direction(language) {
  const [name, ...rest] = language.toLowerCase().split(/[-_]/);
  const script = rest.find((part) => /^[a-z]{4}$/.test(part));
  const reversed = script ? SCRIPTS_RIGHT_TO_LEFT.test(script) : RIGHT_TO_LEFT.test(name);
  return reversed ? "rtl" : "ltr";
}
