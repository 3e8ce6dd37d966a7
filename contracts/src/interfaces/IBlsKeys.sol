// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title BLS keys of operators, one for a seat
interface IBlsKeys {
    /// @notice `key` counts from here on for the operator on this seat, and no other of its keys.
    event BlsKeySet(address indexed operator, uint8 indexed index, bytes32 indexed keyDigest, bytes key);

    error KeyLength(uint256 expectedBytes, uint256 gotBytes);
    /// @notice The point at infinity: everything and nothing is signed by it.
    error InfiniteKey();
    error NotYourSeat(uint8 index, address operator);
    error KeyUsed(bytes32 keyDigest, address operator);
    error BadBlsPossession(bytes32 keyDigest);
    /// @notice The operator on this seat has registered no BLS key for it.
    error NoBlsKey(uint8 index);
    error UnknownBlsKey(bytes32 keyDigest);
    error NoKeys();
    error NotSigned(bytes32 digest);

    /// @notice Sets the caller's key for its seat `index`, or replaces it.
    /// @param key 256 bytes, a point of G2 as EIP-2537 encodes it.
    /// @param possession 96 bytes, the signature by `key` over `computePossessionDigest`, under the tag of proofs of
    ///        possession.
    function register(uint8 index, bytes calldata key, bytes calldata possession) external;

    /// @notice Operators of the set bits of `bitmap`, lowest index first, and the sum of their keys, 256 bytes. Reverts
    ///         if one is not active or has no key. No bits: no operators, and the point at infinity.
    function sumOfActive(uint256 bitmap) external view returns (address[] memory operators, bytes memory sum);

    /// @notice Whose keys signed `digest`, as a claim, together; reverts if they did not. Also keys that were replaced
    ///         or whose operator has left: what they signed still accounts.
    /// @param signature 96 bytes, the sum of all their signatures.
    function signersOf(bytes32 digest, bytes[] calldata keys, bytes calldata signature)
        external
        view
        returns (address[] memory operators);

    /// @notice The operator who ever registered the key with this keccak256; zero for none. Never cleared.
    function operatorOf(bytes32 keyDigest) external view returns (address operator);

    /// @notice The key last registered for a seat and by whom, who may have left it; zeros and no bytes where there is
    ///         none.
    function keyAt(uint8 index) external view returns (address operator, bytes memory key);

    /// @notice What a key signs to be registered by `operator`.
    function computePossessionDigest(address operator, bytes32 keyDigest) external view returns (bytes32);
}
