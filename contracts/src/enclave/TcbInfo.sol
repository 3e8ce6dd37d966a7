// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// JSON is full of double quotes.
// solhint-disable quotes

import {JsonCursor} from "./JsonCursor.sol";
import {TcbStatus} from "./TcbStatus.sol";

/// @title Intel's TCB info, version 3: which security version numbers of a platform mean which status
/// @notice Read once from the JSON that Intel signed into a compact form, in which quotes are looked up:
///         n ‖ n modules ‖ levels. A module is version 1 ‖ signer 48 ‖ attributes 8 ‖ mask 8 ‖ n 1 ‖ n × (svn 2 ‖
///         status 1), the first of them for version 0, without levels; a level is SGX components 16 ‖ PCESVN 2 ‖ TDX
///         components 16 ‖ status 1. Of SGX there are no modules, and the TDX components are zeros.
///         Source: Intel PCS API version 4, "Get TCB Info", and the algorithm described there.
library TcbInfo {
    struct Document {
        bool isTdx;
        bytes6 fmspc;
        bytes2 pceId;
        uint64 issuedAt;
        uint64 nextUpdate;
        uint32 evaluation;
        bytes data;
    }

    /// @notice What is looked up of a platform.
    struct Platform {
        bytes16 components;
        uint16 pceSvn;
        bytes16 tdxComponents;
        /// @dev The signer of the TDX module, 48 bytes in two words: 32, then 16 and zeros.
        bytes32 signerHead;
        bytes16 signerTail;
        bytes8 attributes;
    }

    uint256 private constant MODULE_HEAD_BYTES = 66;
    uint256 private constant LEVEL_BYTES = 35;
    uint256 private constant MAX_LEVELS = 64;

    error LevelsNotDescending(uint256 pos);
    error TooManyLevels(uint256 pos);
    error TrailingText(uint256 pos);
    /// @notice No level is reached: the platform is older than anything Intel knows a status of.
    error NoTcbLevel();
    error TdxModuleUnknown(uint8 version);
    error TdxModuleMismatch(uint8 version);

    // ---- reading what Intel signed --------------------------------------------------------------------------------

    /// @notice The document that `json` is, to its last byte.
    function parse(bytes memory json) internal pure returns (Document memory it) {
        it.isTdx = JsonCursor.has(json, 0, '{"id":"TDX"');
        uint256 pos = JsonCursor.expect(json, 0, it.isTdx ? bytes('{"id":"TDX"') : bytes('{"id":"SGX"'));
        pos = JsonCursor.expect(json, pos, ',"version":3,"issueDate":');
        (it.issuedAt, pos) = JsonCursor.readDate(json, pos);
        pos = JsonCursor.expect(json, pos, ',"nextUpdate":');
        (it.nextUpdate, pos) = JsonCursor.readDate(json, pos);
        uint256 value;
        (value, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, ',"fmspc":"'), 6);
        it.fmspc = bytes6(uint48(value));
        (value, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, '","pceId":"'), 2);
        it.pceId = bytes2(uint16(value));
        pos = JsonCursor.expect(json, pos, '","tcbType":0,"tcbEvaluationDataNumber":');
        (value, pos) = JsonCursor.readUint(json, pos, type(uint32).max);
        it.evaluation = uint32(value);
        bytes memory modules = hex"00";
        if (it.isTdx) (modules, pos) = _readModules(json, pos);
        bytes memory levels;
        (levels, pos) = _readLevels(json, JsonCursor.expect(json, pos, ',"tcbLevels":['), it.isTdx);
        pos = JsonCursor.expect(json, pos, "]}");
        if (pos != json.length) revert TrailingText(pos);
        it.data = bytes.concat(modules, levels);
    }

    /// @dev `,"tdxModule":{…},"tdxModuleIdentities":[…]`.
    function _readModules(bytes memory json, uint256 pos) private pure returns (bytes memory modules, uint256 next) {
        bytes memory one;
        (one, pos) = _readModule(json, JsonCursor.expect(json, pos, ',"tdxModule":{'));
        modules = bytes.concat(hex"00", one, hex"00");
        pos = JsonCursor.expect(json, pos, '},"tdxModuleIdentities":[');
        uint256 count = 1;
        while (true) {
            uint256 version;
            (version, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, '{"id":"TDX_'), 1);
            (one, pos) = _readModule(json, JsonCursor.expect(json, pos, '",'));
            bytes memory levels;
            (levels, pos) = readSvnLevels(json, JsonCursor.expect(json, pos, ","));
            pos = JsonCursor.expect(json, pos, "}");
            modules = bytes.concat(modules, bytes1(uint8(version)), one, levels);
            if (++count > MAX_LEVELS) revert TooManyLevels(pos);
            if (!JsonCursor.has(json, pos, ",")) break;
            ++pos;
        }
        next = JsonCursor.expect(json, pos, "]");
        modules = bytes.concat(bytes1(uint8(count)), modules);
    }

    /// @dev `"mrsigner":…,"attributes":…,"attributesMask":…`, as 64 bytes.
    function _readModule(bytes memory json, uint256 pos) private pure returns (bytes memory module, uint256 next) {
        (uint256 head, uint256 tail, uint256 attributes, uint256 mask) = (0, 0, 0, 0);
        (head, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, '"mrsigner":"'), 32);
        (tail, pos) = JsonCursor.readHex(json, pos, 16);
        (attributes, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, '","attributes":"'), 8);
        (mask, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, '","attributesMask":"'), 8);
        next = JsonCursor.expect(json, pos, '"');
        module = abi.encodePacked(head, uint128(tail), uint64(attributes), uint64(mask));
    }

    /// @notice `"tcbLevels":[{"tcb":{"isvsvn":…},…},…]`, descending, as n 1 ‖ n × (svn 2 ‖ status 1).
    function readSvnLevels(bytes memory json, uint256 pos) internal pure returns (bytes memory levels, uint256 next) {
        pos = JsonCursor.expect(json, pos, '"tcbLevels":[');
        uint256 above = type(uint256).max;
        uint256 count;
        while (true) {
            uint256 svn;
            TcbStatus status;
            (svn, next) =
                JsonCursor.readUint(json, JsonCursor.expect(json, pos, '{"tcb":{"isvsvn":'), type(uint16).max);
            if (svn >= above) revert LevelsNotDescending(pos);
            above = svn;
            (status, pos) = JsonCursor.readStatus(json, JsonCursor.expect(json, next, "}"));
            pos = JsonCursor.expect(json, pos, "}");
            levels = abi.encodePacked(levels, uint16(svn), status);
            if (++count > MAX_LEVELS) revert TooManyLevels(pos);
            if (!JsonCursor.has(json, pos, ",")) break;
            ++pos;
        }
        next = JsonCursor.expect(json, pos, "]");
        levels = bytes.concat(bytes1(uint8(count)), levels);
    }

    /// @dev The first level that is reached counts, so their order is part of what they mean: descending, as Intel has
    ///      them and as verifiers sort them.
    function _readLevels(bytes memory json, uint256 pos, bool isTdx)
        private
        pure
        returns (bytes memory levels, uint256 next)
    {
        (uint256 aboveHead, uint256 aboveTdx) = (type(uint256).max, 0);
        for (uint256 count = 1;; ++count) {
            (uint256 head, uint256 tdx) = (0, 0);
            (head, tdx, next) = _readLevel(json, pos, isTdx);
            if (head > aboveHead || (head == aboveHead && tdx >= aboveTdx)) revert LevelsNotDescending(pos);
            (aboveHead, aboveTdx) = (head, tdx);
            TcbStatus status;
            (status, pos) = JsonCursor.readStatus(json, next);
            pos = JsonCursor.expect(json, pos, "}");
            levels = abi.encodePacked(levels, uint144(head), uint128(tdx), status);
            if (count > MAX_LEVELS) revert TooManyLevels(pos);
            if (!JsonCursor.has(json, pos, ",")) return (levels, pos);
            ++pos;
        }
    }

    /// @dev `{"tcb":{"sgxtcbcomponents":[…],"pcesvn":…,"tdxtcbcomponents":[…]}`: SGX components and PCESVN as one
    ///      number, TDX components as another.
    function _readLevel(bytes memory json, uint256 pos, bool isTdx)
        private
        pure
        returns (uint256 head, uint256 tdx, uint256 next)
    {
        (head, pos) = _readComponents(json, JsonCursor.expect(json, pos, '{"tcb":{"sgxtcbcomponents":['));
        uint256 pceSvn;
        (pceSvn, pos) = JsonCursor.readUint(json, JsonCursor.expect(json, pos, ',"pcesvn":'), type(uint16).max);
        head = head << 16 | pceSvn;
        if (isTdx) (tdx, pos) = _readComponents(json, JsonCursor.expect(json, pos, ',"tdxtcbcomponents":['));
        next = JsonCursor.expect(json, pos, "}");
    }

    /// @dev Sixteen of `{"svn":…}`, each perhaps with a category and a type, and the bracket behind them.
    function _readComponents(bytes memory json, uint256 pos) private pure returns (uint256 components, uint256 next) {
        for (uint256 i; i < 16; ++i) {
            uint256 svn;
            (svn, pos) = JsonCursor.readUint(json, JsonCursor.expect(json, pos, '{"svn":'), type(uint8).max);
            components = components << 8 | svn;
            if (JsonCursor.has(json, pos, ',"category":')) pos = JsonCursor.skipString(json, pos + 12);
            if (JsonCursor.has(json, pos, ',"type":')) pos = JsonCursor.skipString(json, pos + 8);
            pos = JsonCursor.expect(json, pos, i == 15 ? bytes("}]") : bytes("},"));
        }
        next = pos;
    }

    // ---- looking up -----------------------------------------------------------------------------------------------

    /// @notice The status of the first level that `platform` reaches with every component: of the platform, and of its
    ///         TDX module (UpToDate where Intel names no levels of it). All sixteen TDX components are compared, which
    ///         is never less than Intel's own algorithm asks.
    function find(bytes memory data, bool isTdx, Platform memory platform)
        internal
        pure
        returns (TcbStatus status, TcbStatus module)
    {
        module = TcbStatus.UpToDate;
        uint256 pos = 1;
        uint256 count = uint8(data[0]);
        if (isTdx) module = _findModule(data, platform);
        for (uint256 i; i < count; ++i) {
            pos += MODULE_HEAD_BYTES + 3 * uint256(uint8(data[pos + MODULE_HEAD_BYTES - 1]));
        }
        for (; pos < data.length; pos += LEVEL_BYTES) {
            if (platform.pceSvn < _uintAt(data, pos + 16, 2)) continue;
            if (!_reaches(platform.components, _uintAt(data, pos, 16))) continue;
            if (!_reaches(platform.tdxComponents, _uintAt(data, pos + 18, 16))) continue;
            return (TcbStatus(uint8(data[pos + LEVEL_BYTES - 1])), module);
        }
        revert NoTcbLevel();
    }

    /// @notice The status of the first of `levels` at `pos` (as `readSvnLevels` gives them) that `svn` reaches.
    function findSvn(bytes memory levels, uint256 pos, uint256 svn) internal pure returns (TcbStatus) {
        uint256 end = pos + 1 + 3 * uint256(uint8(levels[pos]));
        for (pos += 1; pos < end; pos += 3) {
            if (svn >= _uintAt(levels, pos, 2)) return TcbStatus(uint8(levels[pos + 2]));
        }
        revert NoTcbLevel();
    }

    /// @dev The module is the one Intel names for its version: signer, and attributes, of which none outside the mask.
    function _findModule(bytes memory data, Platform memory platform) private pure returns (TcbStatus) {
        uint8 version = uint8(platform.tdxComponents[1]);
        uint256 count = uint8(data[0]);
        uint256 pos = 1;
        for (uint256 i; i < count; ++i) {
            if (uint8(data[pos]) == version) {
                _requireModule(data, pos, version, platform);
                if (version == 0) return TcbStatus.UpToDate;
                return findSvn(data, pos + MODULE_HEAD_BYTES - 1, uint8(platform.tdxComponents[0]));
            }
            pos += MODULE_HEAD_BYTES + 3 * uint256(uint8(data[pos + MODULE_HEAD_BYTES - 1]));
        }
        revert TdxModuleUnknown(version);
    }

    function _requireModule(bytes memory data, uint256 pos, uint8 version, Platform memory platform) private pure {
        uint256 mask = _uintAt(data, pos + 57, 8);
        uint256 attributes = uint64(platform.attributes);
        bool isSigner = _uintAt(data, pos + 1, 32) == uint256(platform.signerHead)
            && _uintAt(data, pos + 33, 16) == uint128(platform.signerTail);
        bool isAllowed = attributes & ~mask == 0 && attributes == _uintAt(data, pos + 49, 8) & mask;
        if (!isSigner || !isAllowed) revert TdxModuleMismatch(version);
    }

    /// @dev Whether each of sixteen bytes is at least the other's.
    function _reaches(bytes16 mine, uint256 demanded) private pure returns (bool) {
        uint256 have = uint128(mine);
        for (uint256 i; i < 16; ++i) {
            if (have & 0xff < demanded & 0xff) return false;
            have >>= 8;
            demanded >>= 8;
        }
        return true;
    }

    function _uintAt(bytes memory data, uint256 pos, uint256 size) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, size)), mload(add(add(data, 0x20), pos)))
        }
    }
}
