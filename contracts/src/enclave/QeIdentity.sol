// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// JSON is full of double quotes.
// solhint-disable quotes

import {JsonCursor} from "./JsonCursor.sol";
import {TcbInfo} from "./TcbInfo.sol";
import {TcbStatus} from "./TcbStatus.sol";

/// @title Intel's identity of a quoting enclave, version 2: which enclave may sign quotes
/// @notice In the compact form: signer 32 ‖ product 2 ‖ miscselect 4 ‖ mask 4 ‖ attributes 16 ‖ mask 16 ‖ levels
///         (TcbInfo.readSvnLevels). Source: Intel PCS API version 4, "Get SGX QE Identity" and "Get TDX QE Identity".
library QeIdentity {
    struct Document {
        bool isTdx;
        uint64 issuedAt;
        uint64 nextUpdate;
        uint32 evaluation;
        bytes data;
    }

    uint256 private constant LEVELS_AT = 74;

    error TrailingText(uint256 pos);
    /// @notice The enclave that signed the quote is not Intel's. `what` is the field that is not the identity's.
    error QuotingEnclaveUnknown(bytes32 what);

    /// @notice The document that `json` is, to its last byte.
    function parse(bytes memory json) internal pure returns (Document memory it) {
        it.isTdx = JsonCursor.has(json, 0, '{"id":"TD_QE"');
        uint256 pos = JsonCursor.expect(json, 0, it.isTdx ? bytes('{"id":"TD_QE"') : bytes('{"id":"QE"'));
        pos = JsonCursor.expect(json, pos, ',"version":2,"issueDate":');
        (it.issuedAt, pos) = JsonCursor.readDate(json, pos);
        pos = JsonCursor.expect(json, pos, ',"nextUpdate":');
        (it.nextUpdate, pos) = JsonCursor.readDate(json, pos);
        pos = JsonCursor.expect(json, pos, ',"tcbEvaluationDataNumber":');
        uint256 value;
        (value, pos) = JsonCursor.readUint(json, pos, type(uint32).max);
        it.evaluation = uint32(value);
        bytes memory enclave;
        (enclave, pos) = _readEnclave(json, pos);
        bytes memory levels;
        (levels, pos) = TcbInfo.readSvnLevels(json, JsonCursor.expect(json, pos, ","));
        pos = JsonCursor.expect(json, pos, "}");
        if (pos != json.length) revert TrailingText(pos);
        it.data = bytes.concat(enclave, levels);
    }

    /// @notice The status of the quoting enclave whose report is `report` (384 bytes); refuses any other enclave.
    function find(bytes memory data, bytes calldata report) internal pure returns (TcbStatus) {
        if (bytes32(report[128:160]) != bytes32(_uintAt(data, 0, 32))) revert QuotingEnclaveUnknown("mrsigner");
        if (_littleEndian(report[256:258]) != _uintAt(data, 32, 2)) revert QuotingEnclaveUnknown("isvprodid");
        uint256 mask = _uintAt(data, 38, 4);
        // Intel's text has miscselect as the report has it: the bytes in their order.
        if (uint32(bytes4(report[16:20])) & mask != _uintAt(data, 34, 4) & mask) {
            revert QuotingEnclaveUnknown("miscselect");
        }
        mask = _uintAt(data, 58, 16);
        uint256 attributes = uint128(bytes16(report[48:64]));
        if (attributes & mask != _uintAt(data, 42, 16) & mask || report[48] & 0x02 != 0) {
            revert QuotingEnclaveUnknown("attributes");
        }
        return TcbInfo.findSvn(data, LEVELS_AT, _littleEndian(report[258:260]));
    }

    /// @dev `,"miscselect":…` to `"isvprodid":…`, as 74 bytes.
    function _readEnclave(bytes memory json, uint256 pos) private pure returns (bytes memory enclave, uint256 next) {
        (uint256 value, uint256 mask) = (0, 0);
        (value, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, ',"miscselect":"'), 4);
        (mask, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, '","miscselectMask":"'), 4);
        enclave = abi.encodePacked(uint32(value), uint32(mask));
        (value, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, '","attributes":"'), 16);
        (mask, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, '","attributesMask":"'), 16);
        enclave = abi.encodePacked(enclave, uint128(value), uint128(mask));
        (value, pos) = JsonCursor.readHex(json, JsonCursor.expect(json, pos, '","mrsigner":"'), 32);
        (mask, next) = JsonCursor.readUint(json, JsonCursor.expect(json, pos, '","isvprodid":'), type(uint16).max);
        enclave = abi.encodePacked(value, uint16(mask), enclave);
    }

    function _littleEndian(bytes calldata two) private pure returns (uint256) {
        return uint256(uint8(two[0])) | uint256(uint8(two[1])) << 8;
    }

    function _uintAt(bytes memory data, uint256 pos, uint256 size) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, size)), mload(add(add(data, 0x20), pos)))
        }
    }
}
