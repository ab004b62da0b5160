/**
 * What is said of numbers here is so, whatever the data set says: each line has its reason, and a number by which a
 * test holds it. Country by country in the order of calling codes; a longer prefix is stronger than a shorter one.
 */
export type Line = {
  /** Digits after the plus sign. What the data set says of longer ones is passed over. */
  readonly prefixes: readonly string[];
  /** None: numbers that say nothing of a place. */
  readonly zones: readonly string[];
  readonly reason: string;
  readonly example: string;
};

/** All zones of countries that have several; the script that makes the table holds them to what is known of zones. */
export const everywhere = {
  AU: [
    "Australia/Adelaide",
    "Australia/Brisbane",
    "Australia/Darwin",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Australia/Perth",
    "Australia/Sydney",
  ],
  BR: ["America/Manaus", "America/Noronha", "America/Rio_Branco", "America/Sao_Paulo"],
  CD: ["Africa/Kinshasa", "Africa/Lubumbashi"],
  CL: ["America/Punta_Arenas", "America/Santiago", "Pacific/Easter"],
  EC: ["America/Guayaquil", "Pacific/Galapagos"],
  ES: ["Atlantic/Canary", "Europe/Madrid"],
  FM: ["Pacific/Chuuk", "Pacific/Pohnpei"],
  GL: ["America/Danmarkshavn", "America/Nuuk", "America/Thule"],
  ID: ["Asia/Jakarta", "Asia/Jayapura", "Asia/Makassar"],
  KI: ["Pacific/Kanton", "Pacific/Kiritimati", "Pacific/Tarawa"],
  MN: ["Asia/Hovd", "Asia/Ulaanbaatar"],
  MX: [
    "America/Cancun",
    "America/Ciudad_Juarez",
    "America/Matamoros",
    "America/Mazatlan",
    "America/Mexico_City",
    "America/Tijuana",
  ],
  NZ: ["Pacific/Auckland", "Pacific/Chatham"],
  PF: ["Pacific/Gambier", "Pacific/Marquesas", "Pacific/Tahiti"],
  PG: ["Pacific/Bougainville", "Pacific/Port_Moresby"],
  PT: ["Atlantic/Azores", "Europe/Lisbon"],
  RU: [
    "Asia/Anadyr",
    "Asia/Irkutsk",
    "Asia/Krasnoyarsk",
    "Asia/Magadan",
    "Asia/Omsk",
    "Asia/Vladivostok",
    "Asia/Yakutsk",
    "Asia/Yekaterinburg",
    "Europe/Kaliningrad",
    "Europe/Moscow",
    "Europe/Samara",
  ],
} as const satisfies Record<string, readonly string[]>;

const eastern = "America/New_York";
const central = "America/Chicago";
const mountain = "America/Denver";
const pacific = "America/Los_Angeles";

const line = (prefixes: string, zones: readonly string[], reason: string, example: string): Line => ({
  prefixes: prefixes.split(" "),
  zones,
  reason,
  example,
});

export const overlay: readonly Line[] = [
  // North America, +1. A mobile number has the area code of where it was given out.
  line("1800 1833 1844 1855 1866 1877 1888", [], "toll-free anywhere in North America", "+18005550100"),
  line(
    "1500 1521 1522 1523 1524 1525 1526 1527 1528 1529 1533 1544 1566 1577 1588",
    [],
    "personal numbers anywhere in North America",
    "+15005550100",
  ),
  line("1600 1622", [], "Canadian numbers of no place", "+16005550100"),
  line(
    "1700 1710 1900",
    [],
    "numbers of carriers, government and premium services, of no place",
    "+19005550100",
  ),
  line("1480 1520 1602 1623", ["America/Phoenix"], "Arizona, which has no summer time", "+16025550100"),
  line(
    "1928",
    [mountain, "America/Phoenix"],
    "Arizona with the Navajo Nation, which has summer time",
    "+19285550100",
  ),
  line(
    "1208 1986",
    [mountain, pacific],
    "Idaho has two zones, and mobiles are given out in both",
    "+12085550100",
  ),
  line("1219 1574 1812 1930", [central, eastern], "these parts of Indiana are in two zones", "+12195550100"),
  line("1270 1364", [central, eastern], "western Kentucky is in two zones", "+12705550100"),
  line("1308", [central, mountain], "western Nebraska is in two zones", "+13085550100"),
  line("1423", [central, eastern], "southeastern Tennessee is in two zones", "+14235550100"),
  line("1448 1850", [central, eastern], "the Florida panhandle is in two zones", "+18505550100"),
  line("1458 1541", [mountain, pacific], "Malheur County in Oregon is in the next zone", "+15415550100"),
  line("1605", [central, mountain], "South Dakota has two zones", "+16055550100"),
  line("1620 1785", [central, mountain], "the west of Kansas is in the next zone", "+17855550100"),
  line("1701", [central, mountain], "North Dakota has two zones", "+17015550100"),
  line("1775", [mountain, pacific], "Nevada's east has towns in the next zone", "+17755550100"),
  line("1906", [central, eastern], "Michigan's Upper Peninsula is in two zones", "+19065550100"),
  line("1907", ["America/Adak", "America/Anchorage"], "Alaska with the western Aleutians", "+19075550100"),
  line(
    "1236 1250 1257 1672 1778",
    ["America/Edmonton", "America/Vancouver"],
    "British Columbia's east has the clocks of Alberta, or none that change",
    "+12505550100",
  ),
  line(
    "1306 1474 1639",
    ["America/Edmonton", "America/Regina"],
    "Saskatchewan has no summer time, but for Lloydminster",
    "+13065550100",
  ),
  line(
    "1367 1418 1581",
    ["America/Halifax", "America/Toronto"],
    "eastern Quebec with the Magdalen Islands, which are in the next zone",
    "+14185550100",
  ),
  line(
    "1709 1879",
    ["America/Halifax", "America/St_Johns"],
    "Newfoundland, and Labrador, which is in the next zone",
    "+17095550100",
  ),
  line(
    "1807",
    ["America/Atikokan", "America/Toronto", "America/Winnipeg"],
    "northwestern Ontario is in two zones, and has a town without summer time",
    "+18075550100",
  ),
  line(
    "1867",
    ["America/Edmonton", "America/Toronto", "America/Whitehorse", "America/Winnipeg"],
    "the three territories share an area code",
    "+18675550100",
  ),

  // Africa, and islands that the list of countries leaves out.
  line("247", ["Atlantic/St_Helena"], "Ascension", "+24760000"),
  line("2438 2439", everywhere.CD, "mobiles of a country with two zones", "+243810000000"),

  // Greenland, +299.
  line("2992 2994 2995", everywhere.GL, "mobiles of a country with several zones", "+299221234"),

  // Spain, +34, and Portugal, +351.
  line("346 347", everywhere.ES, "mobiles of a country with two zones", "+34612345678"),
  line("345 348 3490", everywhere.ES, "numbers of no place in a country with two zones", "+34900123456"),
  line("3519", everywhere.PT, "mobiles of a country with two zones", "+351912345678"),

  // Ukraine, +380, and Kosovo, +383, which the list of countries leaves out.
  line(
    "380",
    ["Europe/Kyiv"],
    "the numbers of the country that has this code are on its time",
    "+380501234567",
  ),

  line("383", ["Europe/Belgrade"], "Kosovo", "+38344123456"),

  // Mexico, +52. Mobiles have area codes.
  line("521", everywhere.MX, "mobiles as they were written until 2020", "+5215512345678"),
  line(
    "52614 52621 52625 52627 52628 52629 52635 52636 52639 52648 52649 52652 52659",
    ["America/Mexico_City"],
    "Chihuahua is on the time of the centre since 2022",
    "+526141234567",
  ),
  line(
    "52626",
    ["America/Matamoros", "America/Mexico_City"],
    "Ojinaga has the summer time of Texas, its surroundings have none",
    "+526261234567",
  ),
  line("52656", ["America/Ciudad_Juarez"], "Ciudad Juárez has the clocks of El Paso", "+526561234567"),
  line(
    "52862 52867 52868 52873 52877 52878 52891 52894 52897 52899",
    ["America/Matamoros", "America/Mexico_City"],
    "along the border towns have the summer time of Texas, and villages have none",
    "+528671234567",
  ),
  line(
    "52983 52984 52987 52998",
    ["America/Cancun"],
    "Quintana Roo has a time of its own since 2015",
    "+529981234567",
  ),

  // Brazil, +55. Mobiles have area codes.
  line(
    "551 552 553 554 555 5561 5562 5563 5564 557 5581 5582 5583 5584 5585 5586 5587 5588 5589 5591 5593 5594 5596 5598 5599",
    ["America/Sao_Paulo"],
    "the states on the time of Brasília, of which the data set takes some for others",
    "+5511912345678",
  ),
  line("55800 5530 5540", everywhere.BR, "numbers of no place in a country with four zones", "+558001234567"),
  line(
    "5565 5566 5567 5569 5592 5595",
    ["America/Manaus"],
    "the states on the time of Manaus",
    "+5592912345678",
  ),
  line("5568", ["America/Rio_Branco"], "Acre", "+5568912345678"),
  line(
    "5597",
    ["America/Manaus", "America/Rio_Branco"],
    "the interior of Amazonas is in two zones",
    "+5597912345678",
  ),
  line(
    "55819",
    ["America/Noronha", "America/Sao_Paulo"],
    "mobiles of Recife and of the island of Noronha, which share an area code",
    "+5581912345678",
  ),
  line("55813619", ["America/Noronha"], "the island of Noronha", "+558136190000"),

  // Chile, +56, and Ecuador, +593.
  line("569", everywhere.CL, "mobiles of a country with three zones", "+56912345678"),
  line("5632", ["America/Santiago"], "Valparaíso, whose area code Easter Island has too", "+56322612345"),
  line("5632210", ["Pacific/Easter"], "Easter Island", "+56322100123"),
  line(
    "5661 5667",
    ["America/Punta_Arenas"],
    "Magallanes and Aysén have summer time all year",
    "+56612123456",
  ),
  line("5939", everywhere.EC, "mobiles of a country with two zones", "+593912345678"),
  line("59352", everywhere.EC, "the Galápagos share an area code with the coast", "+59352526123"),

  // Australia, +61.
  line("614", everywhere.AU, "mobiles of a country with several zones", "+61412345678"),
  line(
    "6113 61180",
    everywhere.AU,
    "toll-free and shared-cost numbers of a country with several zones",
    "+611300123456",
  ),
  line("6114", everywhere.AU, "satellite and data numbers of a country with several zones", "+61147123456"),
  line("617", ["Australia/Brisbane"], "Queensland, which has no summer time", "+61730001234"),
  line(
    "61755",
    ["Australia/Brisbane", "Australia/Sydney"],
    "the Gold Coast shares its numbers with Tweed Heads in New South Wales",
    "+61755361234",
  ),
  line(
    "6185 6186 6187",
    ["Australia/Adelaide", "Australia/Darwin", "Australia/Perth"],
    "numbers of the central and western region, which has three zones",
    "+61870001234",
  ),
  line("6188", ["Australia/Adelaide"], "South Australia and Broken Hill", "+61882001234"),
  line("61889", ["Australia/Darwin"], "the Northern Territory, which has no summer time", "+61889001234"),
  line("6189", ["Australia/Perth"], "Western Australia", "+61892001234"),
  line(
    "61890",
    ["Australia/Eucla", "Australia/Perth"],
    "the goldfields and Eucla, which has a time of its own",
    "+61890391234",
  ),
  line("6189162", ["Indian/Cocos"], "the Cocos Islands", "+61891621234"),
  line("6189164", ["Indian/Christmas"], "Christmas Island", "+61891641234"),

  // Indonesia, +62, and New Zealand, +64.
  line("628", everywhere.ID, "mobiles of a country with three zones", "+628123456789"),
  line("642", everywhere.NZ, "mobiles of a country with two zones", "+64211234567"),

  // Pacific islands.
  line("6721", [], "Antarctic stations, each with a time of its own", "+672112345"),
  line("6757 6758", everywhere.PG, "mobiles of a country with two zones", "+67570123456"),
  line("6866 6867", everywhere.KI, "mobiles of a country with three zones", "+68672001234"),
  line("68987 68988 68989", everywhere.PF, "mobiles of a country with three zones", "+68987123456"),
  line("6919", everywhere.FM, "mobiles of a country with two zones", "+6919201234"),

  // Russia and Kazakhstan, +7.
  line("7401", ["Europe/Kaliningrad"], "Kaliningrad", "+74012123456"),
  line("76 77", ["Asia/Almaty"], "Kazakhstan has one time since 2024", "+77011234567"),
  line(
    "7800 7803 7804 7808 7809 7810",
    [...everywhere.RU, "Asia/Almaty"].toSorted(),
    "toll-free and shared-cost numbers of Russia and Kazakhstan",
    "+78001234567",
  ),
  line("7845", ["Europe/Samara"], "Saratov has left the time of Moscow in 2016", "+78452123456"),
  line(
    "7855",
    ["Europe/Moscow"],
    "Naberezhnye Chelny is on the time of Moscow, as all of Tatarstan",
    "+78552123456",
  ),
  line(
    "79",
    everywhere.RU,
    "mobiles of a country with eleven zones, of which the data set says Moscow",
    "+79161234567",
  ),

  // China, +86.
  line("86", ["Asia/Shanghai"], "all of China is on one time by law", "+8613912345678"),

  // Palestine, +970 and +972.
  line(
    "97256 97259",
    ["Asia/Gaza", "Asia/Hebron", "Asia/Jerusalem"],
    "mobiles of Palestinian operators under Israel's code",
    "+972591234567",
  ),

  // Mongolia, +976.
  line("9766 9768 9769", everywhere.MN, "mobiles of a country with two zones", "+97688123456"),

  // Numbers of no country.
  line(
    "800 808 870 878 881 882 883 888 979",
    [],
    "toll-free, shared-cost, satellite and personal numbers of no country",
    "+870773111632",
  ),
];
