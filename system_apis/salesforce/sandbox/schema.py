"""The objects of the sandbox org: standard fields, and the custom fields of the sample metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

BILLING_MODELS = "time_and_materials fixed_price milestone retainer"
CURRENCIES = "USD GBP EUR CHF"
STAGES = {  # name: probability, closed, won, forecast category
    "Prospecting": (10.0, False, False, "Pipeline"),
    "Qualification": (10.0, False, False, "Pipeline"),
    "Needs Analysis": (20.0, False, False, "Pipeline"),
    "Value Proposition": (50.0, False, False, "Pipeline"),
    "Proposal/Price Quote": (75.0, False, False, "Best Case"),
    "Negotiation/Review": (90.0, False, False, "Commit"),
    "Closed Won": (100.0, True, True, "Closed"),
    "Closed Lost": (0.0, True, False, "Omitted"),
}
SQL_TYPES = {"boolean": "INTEGER", "double": "REAL", "currency": "REAL", "int": "INTEGER"}
NUMBERS = {"double", "currency", "int"}
SOAP_TYPES = {
    "boolean": "xsd:boolean",
    "double": "xsd:double",
    "currency": "xsd:double",
    "int": "xsd:int",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "id": "tns:ID",
    "reference": "tns:ID",
}


@dataclass(frozen=True)
class Field:
    """One field as `describe` reports it and as writes are checked against it."""

    name: str
    type: str = "string"
    length: int = 0
    required: bool = False
    readonly: bool = False
    create_only: bool = False
    external_id: bool = False
    values: tuple[str, ...] = ()
    restricted: bool = False
    to: str = ""
    relation: str = ""
    children: str = ""

    @property
    def is_boolean(self) -> bool:
        """Kept as 0 or 1, shown as false or true."""
        return self.type == "boolean"

    @property
    def is_id(self) -> bool:
        """Holds 18-character ids and accepts 15."""
        return self.type in {"id", "reference"}

    @property
    def column(self) -> str:
        """The SQL column: text compares without case, as SOQL does, ids exactly."""
        kind = SQL_TYPES.get(self.type, "TEXT")
        loose = kind == "TEXT" and not self.is_id
        return f'"{self.name}" {kind}{" COLLATE NOCASE" if loose else ""}'


@dataclass(frozen=True)
class Object:
    """An sObject: its key prefix, its fields and what points at it."""

    name: str
    prefix: str
    fields: dict[str, Field]
    children: dict[str, tuple[str, str]] = field(default_factory=dict)

    @cached_property
    def by_lower(self) -> dict[str, Field]:
        """Fields by lower-case name: the API does not mind case."""
        return {name.lower(): f for name, f in self.fields.items()}

    @cached_property
    def columns(self) -> str:
        """All columns, for SQL."""
        return ", ".join(f'"{name}"' for name in self.fields)

    @cached_property
    def parents(self) -> dict[str, Field]:
        """Reference fields by lower-case relationship name."""
        return {f.relation.lower(): f for f in self.fields.values() if f.relation}

    @cached_property
    def external_ids(self) -> list[Field]:
        """The fields an upsert may go by."""
        return [f for f in self.fields.values() if f.external_id]


def _text(names: str, length: int = 255) -> list[Field]:
    return [Field(name, "string", length) for name in names.split()]


def _of(kind: str, names: str, *, readonly: bool = False) -> list[Field]:
    return [Field(name, kind, readonly=readonly) for name in names.split()]


def _ref(name: str, to: str, *, children: str = "", required: bool = False) -> Field:
    relation = name[:-1] + "r" if name.endswith("__c") else name.removesuffix("Id")
    return Field(
        name,
        "reference",
        18,
        required=required,
        create_only=required,
        to=to,
        relation=relation,
        children=children,
    )


def _pick(
    name: str, values: str, sep: str | None = None, *, restricted: bool = False, need: bool = False
) -> Field:
    listed = tuple(values.split(sep))
    return Field(name, "picklist", 255, values=listed, restricted=restricted, required=need)


def _key(name: str) -> Field:
    return Field(name, "string", 80, external_id=True)


def _address(kind: str) -> list[Field]:
    parts = "Street City State PostalCode Country"
    return _text(" ".join(kind + part for part in parts.split()))


MONEY = Field("CurrencyIsoCode", "picklist", 3, values=tuple(CURRENCIES.split()), restricted=True)
NAME = Field("Name", "string", 255, required=True)
SYSTEM = [
    *_of("boolean", "IsDeleted", readonly=True),
    *_of("datetime", "CreatedDate LastModifiedDate SystemModstamp", readonly=True),
    *[
        Field(f"{who}ById", "reference", 18, readonly=True, to="User", relation=f"{who}By")
        for who in ("Created", "LastModified")
    ],
]
OWNER = _ref("OwnerId", "User")
ACCOUNT = [
    Field("Name", "string", 255, required=True),
    _ref("ParentId", "Account", children="ChildAccounts"),
    OWNER,
    MONEY,
    *_text("AccountNumber", 40),
    *_text("Type Industry Phone Fax Website Description"),
    *_address("Billing"),
    *_address("Shipping"),
    Field("MasterRecordId", "reference", 18, readonly=True, to="Account", relation="MasterRecord"),
    _key("TL_Customer_Key__c"),
    *_text("TL_Tax_Id__c TL_Tax_Code__c TL_Payment_Terms__c", 40),
    *_of("boolean", "TL_Credit_Hold__c"),
    _key("TL_Import_Key__c"),
]
CONTACT = [
    Field("LastName", "string", 80, required=True),
    Field("FirstName", "string", 40),
    Field("Name", "string", 121, readonly=True),
    _ref("AccountId", "Account", children="Contacts"),
    OWNER,
    MONEY,
    *_text("Email Phone MobilePhone Title Department", 80),
    *_address("Mailing"),
    _key("TL_Import_Key__c"),
]
OPPORTUNITY = [
    Field("Name", "string", 120, required=True),
    _ref("AccountId", "Account", children="Opportunities"),
    _pick("StageName", "|".join(STAGES), "|", need=True),
    Field("CloseDate", "date", required=True),
    *_of("currency", "Amount"),
    *_of("double", "Probability TotalOpportunityQuantity"),
    *_of("boolean", "IsClosed IsWon HasOpportunityLineItem", readonly=True),
    Field("ForecastCategoryName", "picklist", 40, readonly=True),
    *_of("int", "FiscalYear FiscalQuarter", readonly=True),
    *_text("Type LeadSource NextStep"),
    *_text("Description", 32000),
    _ref("Pricebook2Id", "Pricebook2", children="Opportunities"),
    Field("ContactId", "reference", 18, create_only=True, to="Contact", relation="Contact"),
    _ref("ContractId", "Contract", children="Opportunities"),
    OWNER,
    MONEY,
    _pick("TL_Billing_Model__c", BILLING_MODELS, restricted=True),
    *_text("TL_SOW_Number__c TL_Region__c TL_Service_Line__c TL_Legal_Entity__c", 80),
    *_of("date", "TL_Start_Date__c TL_End_Date__c"),
    *_text("TL_PO_Number__c TL_Project_Status__c", 80),
    _key("TL_Project_Key__c"),
    _key("TL_Import_Key__c"),
]
LINE = [
    _ref("OpportunityId", "Opportunity", children="OpportunityLineItems", required=True),
    _ref("PricebookEntryId", "PricebookEntry", children="OpportunityLineItems"),
    _ref("Product2Id", "Product2", children="OpportunityLineItems"),
    *_of("string", "ProductCode Name", readonly=True),
    Field("Quantity", "double", required=True),
    *_of("currency", "UnitPrice TotalPrice"),
    *_of("currency", "ListPrice Subtotal", readonly=True),
    *_of("double", "Discount"),
    *_of("date", "ServiceDate"),
    *_of("int", "SortOrder"),
    *_text("Description"),
    MONEY,
    _key("TL_Import_Key__c"),
]
ROLE = [
    _ref("OpportunityId", "Opportunity", children="OpportunityContactRoles", required=True),
    _ref("ContactId", "Contact", children="OpportunityContactRoles", required=True),
    _pick("Role", "Business User|Decision Maker|Economic Buyer|Executive Sponsor|Other", "|"),
    *_of("boolean", "IsPrimary"),
    MONEY,
    _key("TL_Import_Key__c"),
]
PRODUCT = [
    NAME,
    *_text("ProductCode Family QuantityUnitOfMeasure"),
    *_text("Description", 4000),
    *_of("boolean", "IsActive"),
    MONEY,
]
PRICEBOOK = [
    NAME,
    *_of("boolean", "IsActive"),
    *_of("boolean", "IsStandard", readonly=True),
    *_text("Description"),
]
ENTRY = [
    _ref("Pricebook2Id", "Pricebook2", children="PricebookEntries", required=True),
    _ref("Product2Id", "Product2", children="PricebookEntries", required=True),
    Field("UnitPrice", "currency", required=True),
    *_of("boolean", "IsActive UseStandardPrice"),
    *_of("string", "Name ProductCode", readonly=True),
    MONEY,
]
USER = [
    *_text("Username", 80),
    *_text("Email", 128),
    *_of("string", "Name", readonly=True),
    Field("LastName", "string", 80, required=True),
    *_text("FirstName Alias Title", 80),
    *_of("boolean", "IsActive"),
    MONEY,
]
CONTRACT = [
    _ref("AccountId", "Account", children="Contracts", required=True),
    _pick("Status", "Draft|In Approval Process|Activated", "|"),
    *_of("string", "StatusCode ContractNumber", readonly=True),
    *_of("date", "StartDate CustomerSignedDate CompanySignedDate"),
    *_of("date", "EndDate", readonly=True),
    *_of("int", "ContractTerm"),
    *_of("datetime", "ActivatedDate", readonly=True),
    *_text("Name SpecialTerms"),
    OWNER,
    MONEY,
]
ORGANIZATION = [NAME, *_of("boolean", "IsSandbox", readonly=True), *_text("InstanceName")]

DECLARED = [
    ("Account", "001", ACCOUNT),
    ("Contact", "003", CONTACT),
    ("Opportunity", "006", OPPORTUNITY),
    ("OpportunityLineItem", "00k", LINE),
    ("OpportunityContactRole", "00K", ROLE),
    ("Product2", "01t", PRODUCT),
    ("Pricebook2", "01s", PRICEBOOK),
    ("PricebookEntry", "01u", ENTRY),
    ("User", "005", USER),
    ("Contract", "800", CONTRACT),
    ("Organization", "00D", ORGANIZATION),
]


def _objects() -> dict[str, Object]:
    objects = {}
    for name, prefix, declared in DECLARED:
        fields = [Field("Id", "id", 18, readonly=True), *declared, *SYSTEM]
        objects[name] = Object(name, prefix, {f.name: f for f in fields})
    for child in objects.values():
        for reference in child.fields.values():
            if reference.children:
                pair = child.name, reference.name
                objects[reference.to].children[reference.children.lower()] = pair
    return objects


OBJECTS = _objects()
BY_LOWER = {name.lower(): o for name, o in OBJECTS.items()}
BY_PREFIX = {o.prefix: o for o in OBJECTS.values()}
RELATION_NAMES = {
    f.children.lower(): f.children for o in OBJECTS.values() for f in o.fields.values()
}


def tables() -> list[str]:
    """The DDL of all objects, their references and external ids indexed."""
    ddl = []
    for o in OBJECTS.values():
        columns = ", ".join(f.column for f in o.fields.values())
        ddl.append(f'CREATE TABLE IF NOT EXISTS "{o.name}" ({columns}, PRIMARY KEY ("Id"))')
        ddl += [
            f'CREATE INDEX IF NOT EXISTS "{o.name}_{f.name}" ON "{o.name}" ("{f.name}")'
            for f in o.fields.values()
            if f.external_id or f.children or f.name == "SystemModstamp"
        ]
    return ddl


def describe(o: Object, base: str) -> dict[str, object]:
    """What `/sobjects/<object>/describe` answers."""
    children = [
        {"childSObject": child, "field": by, "relationshipName": RELATION_NAMES[relation]}
        for relation, (child, by) in o.children.items()
    ]
    fields = [describe_field(f) for f in o.fields.values()]
    return {**describe_brief(o, base), "fields": fields, "childRelationships": children}


def describe_brief(o: Object, base: str) -> dict[str, object]:
    """One entry of the list of objects."""
    path = f"{base}/sobjects/{o.name}"
    flags = dict.fromkeys(("createable", "updateable", "deletable", "queryable"), True)
    return {
        "name": o.name,
        "label": o.name,
        "labelPlural": plural(o.name),
        "keyPrefix": o.prefix,
        "custom": o.name.endswith("__c"),
        **flags,
        "urls": {
            "sobject": path,
            "describe": f"{path}/describe",
            "rowTemplate": f"{path}/{{ID}}",
        },
    }


def plural(name: str) -> str:
    """What several records are called."""
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def describe_field(f: Field) -> dict[str, object]:
    """One field of a describe."""
    return {
        "name": f.name,
        "label": f.name.removesuffix("__c").replace("_", " "),
        "type": f.type,
        "soapType": SOAP_TYPES.get(f.type, "xsd:string"),
        "length": f.length,
        "precision": 18 if f.type in NUMBERS else 0,
        "scale": 2 if f.type in {"currency", "double"} else 0,
        "custom": f.name.endswith("__c"),
        "nillable": not f.required and not f.is_boolean and f.type != "id",
        "createable": not f.readonly,
        "updateable": not f.readonly and not f.create_only,
        "externalId": f.external_id,
        "unique": f.external_id,
        "caseSensitive": False,
        "idLookup": f.external_id or f.type == "id",
        "restrictedPicklist": f.restricted,
        "picklistValues": [
            {"active": True, "defaultValue": False, "label": v, "value": v} for v in f.values
        ],
        "referenceTo": [f.to] if f.to else [],
        "relationshipName": f.relation or None,
        "filterable": True,
        "sortable": True,
        "defaultedOnCreate": f.is_boolean or f.name in {"OwnerId", "CurrencyIsoCode"},
    }
