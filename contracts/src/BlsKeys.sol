// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IBlsKeys} from "./interfaces/IBlsKeys.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {Bls} from "./libraries/Bls.sol";
import {CodeStorage} from "./libraries/CodeStorage.sol";

/// @title BlsKeys: the operators' BLS keys, kept so that many are read for little
/// @notice Keys stand in contract code, sixteen neighbouring seats in one piece: a page is found and opened for 4,700
///         gas, and each key on it costs a few hundred more, where eight storage slots would cost 16,800. Writing a
///         page anew costs up to 1,150,000 gas, once for a key. Nobody owns this contract and nothing in it can be
///         changed.
contract BlsKeys is IBlsKeys, EIP712 {
    bytes32 internal constant POSSESSION_TYPEHASH = keccak256("BlsPossession(address operator,bytes32 key)");

    uint256 internal constant PAGE_SEATS = 16;
    /// @dev The key, then its operator in a word.
    uint256 internal constant RECORD_BYTES = 288;

    IOperatorRegistry public immutable OPERATORS;

    /// @dev Code of RECORD_BYTES a seat, as far as the last seat with a key; zeros where none was registered.
    address[16] private _pages;

    /// @inheritdoc IBlsKeys
    mapping(bytes32 keyDigest => address operator) public operatorOf;

    constructor(IOperatorRegistry operators) EIP712("Affidavit BLS Keys", "1") {
        OPERATORS = operators;
    }

    /// @inheritdoc IBlsKeys
    /// @dev The pairing that checks the possession also checks that the key is of the prime-order group. A signed
    ///      digest holds the operator, so nobody registers a key that he saw waiting; and a key once registered is
    ///      nobody else's for ever.
    function register(uint8 index, bytes calldata key, bytes calldata possession) external {
        if (key.length != Bls.KEY_BYTES) revert KeyLength(Bls.KEY_BYTES, key.length);
        (address[] memory seated,) = OPERATORS.activeSigners(1 << index);
        if (seated[0] != msg.sender) revert NotYourSeat(index, seated[0]);
        bytes32 keyDigest = keccak256(key);
        if (keyDigest == keccak256(new bytes(Bls.KEY_BYTES))) revert InfiniteKey();
        address user = operatorOf[keyDigest];
        if (user != address(0) && user != msg.sender) revert KeyUsed(keyDigest, user);
        bytes32 digest = computePossessionDigest(msg.sender, keyDigest);
        if (!Bls.isSigned(Bls.POSSESSIONS, digest, possession, key)) revert BadBlsPossession(keyDigest);

        operatorOf[keyDigest] = msg.sender;
        _write(index, msg.sender, key);
        emit BlsKeySet(msg.sender, index, keyDigest, key);
    }

    /// @inheritdoc IBlsKeys
    /// @dev A record counts for the operator who made it: who takes a seat over has no key there yet.
    function sumOfActive(uint256 bitmap) external view returns (address[] memory operators, bytes memory sum) {
        (operators,) = OPERATORS.activeSigners(bitmap);
        // The sum, then room for a record: what G2ADD takes, and the operator's word.
        sum = new bytes(Bls.KEY_BYTES + RECORD_BYTES);
        uint256 found;
        uint256 pageAt = type(uint256).max;
        address page;
        unchecked {
            for (uint256 index; found < operators.length; ++index) {
                if ((bitmap >> index) & 1 == 0) continue;
                if (index / PAGE_SEATS != pageAt) {
                    pageAt = index / PAGE_SEATS;
                    page = _pages[pageAt];
                }
                if (_load(page, index % PAGE_SEATS, sum) != operators[found]) revert NoBlsKey(uint8(index));
                _add(sum);
                ++found;
            }
        }
        assembly ("memory-safe") {
            mstore(sum, 256)
        }
    }

    /// @inheritdoc IBlsKeys
    /// @dev A key may be named twice: the signature must then hold its signer's twice, which nobody has who does not
    ///      have it once.
    function signersOf(bytes32 digest, bytes[] calldata keys, bytes calldata signature)
        external
        view
        returns (address[] memory operators)
    {
        if (keys.length == 0) revert NoKeys();
        operators = new address[](keys.length);
        bytes memory sum = new bytes(Bls.KEY_BYTES + RECORD_BYTES);
        for (uint256 i; i < keys.length; ++i) {
            bytes calldata key = keys[i];
            bytes32 keyDigest = keccak256(key);
            operators[i] = operatorOf[keyDigest];
            if (operators[i] == address(0)) revert UnknownBlsKey(keyDigest);
            // Whoever is known by the hash of 256 bytes has given 256 bytes.
            assembly ("memory-safe") {
                calldatacopy(add(sum, 0x120), key.offset, 0x100)
            }
            _add(sum);
        }
        if (!Bls.isSigned(Bls.CLAIMS, digest, signature, sum)) revert NotSigned(digest);
    }

    /// @inheritdoc IBlsKeys
    function keyAt(uint8 index) external view returns (address operator, bytes memory key) {
        bytes memory pair = new bytes(Bls.KEY_BYTES + RECORD_BYTES);
        operator = _load(_pages[index / PAGE_SEATS], index % PAGE_SEATS, pair);
        if (operator == address(0)) return (operator, "");
        key = new bytes(Bls.KEY_BYTES);
        assembly ("memory-safe") {
            mcopy(add(key, 0x20), add(pair, 0x120), 0x100)
        }
    }

    /// @inheritdoc IBlsKeys
    function computePossessionDigest(address operator, bytes32 keyDigest) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(POSSESSION_TYPEHASH, operator, keyDigest)));
    }

    /// @dev The record of a seat, behind the first 256 bytes of `pair`; returns its operator. Zeros from beyond a
    ///      page's end, and where there is no page: no account without code, such as zero, has any to copy.
    function _load(address page, uint256 seat, bytes memory pair) private view returns (address operator) {
        assembly ("memory-safe") {
            // Behind the leading STOP.
            extcodecopy(page, add(pair, 0x120), add(1, mul(seat, RECORD_BYTES)), RECORD_BYTES)
            operator := mload(add(pair, 0x220))
        }
    }

    /// @dev Adds the second point of `pair` to the first. Nothing is the point at infinity.
    function _add(bytes memory pair) private view {
        uint256 place;
        assembly ("memory-safe") {
            place := add(pair, 0x20)
        }
        Bls.addKeys(place);
    }

    /// @dev A new page with this record and the others' of the old one.
    function _write(uint8 index, address operator, bytes calldata key) private {
        uint256 place = (index % PAGE_SEATS) * RECORD_BYTES;
        address old = _pages[index / PAGE_SEATS];
        uint256 oldBytes = old == address(0) ? 0 : old.code.length - 1;
        bytes memory page = new bytes(oldBytes > place + RECORD_BYTES ? oldBytes : place + RECORD_BYTES);
        assembly ("memory-safe") {
            extcodecopy(old, add(page, 0x20), 1, oldBytes)
            let record := add(add(page, 0x20), place)
            calldatacopy(record, key.offset, 0x100)
            mstore(add(record, 0x100), operator)
        }
        _pages[index / PAGE_SEATS] = CodeStorage.write(page);
    }
}
